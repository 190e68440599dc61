"""The command as a user types it: what it writes, and which checkpoints and images it refuses."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from lightning_modules import SaliencyModule
from lightning_modules.main import main
from mutualformer import __version__

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


def run(command: str, folder: Path, *options: str) -> int:
    config = ["--config", str(CONFIG), "--trainer.default_root_dir", str(folder)]
    return main([command, *config, *options])


def read_scores(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text())["scores"]["synthetic"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert run("fit", folder) == 0
    return folder


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """Return a folder with one data set of four pairs, of different sizes."""
    generator = np.random.default_rng(0)
    root = tmp_path / "data"
    for index, size in enumerate([(40, 60), (64, 64), (50, 45), (70, 80)]):
        mask = np.zeros(size, np.uint8)
        mask[10:30, 12:36] = 255
        images = {
            "RGB": generator.integers(0, 256, (*size, 3), np.uint8),
            "depth": generator.integers(0, 256, size, np.uint8),
            "GT": mask,
        }
        for name, image in images.items():
            (root / "PAIRS" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "PAIRS" / name / f"image_{index}.png")
    return root


def folder_data(root: Path, *options: str) -> list[str]:
    return [
        "--data",
        "datamodules.RGBDSaliencyDataModule",
        f"--data.root={root}",
        "--data.image_size=64",
        "--data.batch_size=2",
        "--data.num_workers=0",
        *options,
    ]


def test_fit_leaves_configuration_checkpoints_and_curves(trained: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        assert (trained / "checkpoints" / name).is_file()
    config = yaml.safe_load((trained / "config.yaml").read_text())
    network = config["model"]["init_args"]["network"]
    assert network["init_args"]["fusion"]["init_args"]["epsilon"] == 0.6
    with next(trained.glob("logs/*/metrics.csv")).open() as file:
        columns = next(csv.reader(file))
    assert {"train/loss", "val/held_out/s_measure"} <= set(columns)


def test_the_saved_configuration_serves_test_and_predict(trained: Path) -> None:
    config = ["--config", str(trained / "config.yaml")]
    assert main(["test", *config]) == 0
    results = json.loads((trained / "results.json").read_text())
    assert results["num_images"] == {"synthetic": 5}
    assert results["checkpoint"].endswith("best.ckpt")
    assert set(results["scores"]["synthetic"]) >= {"s_measure", "f_max", "e_max", "mae"}
    assert (trained / "contact_sheet_test.png").is_file()

    assert main(["predict", *config]) == 0
    maps = sorted((trained / "predictions" / "synthetic").iterdir())
    assert [path.stem for path in maps] == [f"test_{index:05d}" for index in range(5)]
    assert (trained / "contact_sheet_predict.png").is_file()

    assert main(["validate", *config]) == 0


def test_fit_tests_the_best_checkpoint_if_asked_to_also_when_it_has_finished_before(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    assert run("fit", folder, "--test_after_fit=true") == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["checkpoint"].endswith("best.ckpt")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert not {"test_after_fit", "ckpt_path"} & config.keys()
    last = folder / "checkpoints" / "last.ckpt"
    trained = last.read_bytes()
    (folder / "results.json").unlink()
    assert run("fit", folder, "--test_after_fit=true", f"--ckpt_path={last}") == 0
    assert read_scores(folder) == results["scores"]["synthetic"]
    assert last.read_bytes() == trained
    assert run("test", folder) == 0
    assert read_scores(folder) == results["scores"]["synthetic"]


def test_data_to_test_on_after_fit_is_looked_for_before_it(
    image_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = folder_data(image_root, "--data.train_sets=[PAIRS]", "--data.test_sets=[NONE]")
    with pytest.raises(SystemExit, match="2"):
        run("fit", tmp_path / "run", *data, "--test_after_fit=true")
    assert "NONE" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_test_set_is_not_trained_on(
    image_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = folder_data(image_root, "--data.train_sets=[PAIRS]", "--data.test_sets=[PAIRS]")
    with pytest.raises(SystemExit, match="2"):
        run("fit", tmp_path / "run", *data)
    assert "PAIRS is in test_sets and, as PAIRS, in train_sets" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_the_user_types_wins_over_the_checkpoint(trained: Path) -> None:
    assert run("test", trained) == 0
    before = read_scores(trained)
    option = "--model.network.fusion.num_iterations=7"
    assert run("test", trained, option, "--model.network.fusion.epsilon=0.95") == 0
    assert read_scores(trained) != before


def test_a_checkpoint_loads_without_the_command_line(trained: Path) -> None:
    path = trained / "checkpoints" / "best.ckpt"
    module = SaliencyModule.load_from_checkpoint(path, weights_only=True, map_location="cpu")
    stored = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(stored[name], value) for name, value in module.state_dict().items())
    assert module.network.settings["fusion"]["init_args"]["epsilon"] == 0.6


def test_a_checkpoint_says_what_it_came_from_without_pickle(trained: Path) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        checkpoint = torch.load(trained / "checkpoints" / name, weights_only=True)
        provenance = checkpoint["provenance"]
        assert provenance["version"] == provenance["packages"]["mutualformer"] == __version__
        assert provenance["git"] is None or len(provenance["git"]["commit"]) == 40
        assert provenance["config"] == yaml.safe_load((trained / "config.yaml").read_text())


def test_a_run_is_continued_by_the_same_command_and_never_overwritten(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    before = torch.load(last, weights_only=True)["state_dict"]
    assert run("fit", trained) == 0  # it is finished: nothing is left to train
    assert f"Continuing the run in {trained} from last.ckpt" in capsys.readouterr().err
    after = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(after[name], value) for name, value in before.items())
    for options, words in (
        (["--resume=never"], "already holds a run, and --resume is never"),
        (["--model.optimizer.lr=0.5"], "model.optimizer.lr (0.001 there, 0.5 now)"),
        (["--data.batch_size=1"], f"give --ckpt_path {last}"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run("fit", trained, *options)
        assert words in capsys.readouterr().err
    assert run("fit", trained, "--ckpt_path", str(last), "--trainer.max_epochs=2") == 0
    assert torch.load(last, weights_only=True)["epoch"] == 1
    assert run("fit", trained, "--trainer.max_epochs=3") == 0  # a raised limit goes on by itself
    assert torch.load(last, weights_only=True)["epoch"] == 2
    with pytest.raises(SystemExit, match="2"):
        run("fit", trained, "--trainer.max_epochs=2")
    assert "trainer.max_epochs (3 there, 2 now)" in capsys.readouterr().err


def test_of_a_damaged_checkpoint_the_other_one_is_offered(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    last = folder / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    options = yaml.safe_load((folder / "config.yaml").read_text())["trainer"]
    with pytest.raises(SystemExit, match="2"):
        run("fit", folder, f"--trainer.max_epochs={options['max_epochs']}")
    message = capsys.readouterr().err
    assert f"{last} cannot be read" in message
    assert f"try --ckpt_path {last.with_name('best.ckpt')}" in message


def test_folders_train_test_and_predict(image_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run("fit", folder, *folder_data(image_root, "--data.train_sets=[PAIRS]")) == 0
    test_sets = "--data.test_sets={ONE: PAIRS, TWO: PAIRS}"
    assert run("test", folder, *folder_data(image_root, test_sets)) == 0
    scores = json.loads((folder / "results.json").read_text())["scores"]
    assert scores["ONE"] == scores["TWO"]

    unlabelled = tmp_path / "unlabelled"
    (image_root / "PAIRS" / "GT").rename(tmp_path / "GT")
    (image_root / "PAIRS").rename(unlabelled)
    output = f"--predictions.output_dir={tmp_path / 'maps'}"
    data = folder_data(tmp_path, f"--data.predict_root={unlabelled}")
    assert run("predict", folder, *data, output) == 0
    for path in (unlabelled / "RGB").iterdir():
        with Image.open(path) as rgb, Image.open(tmp_path / "maps" / "unlabelled" / path.name) as p:
            assert (p.mode, p.size) == ("L", rgb.size)


def test_without_validation_data_the_last_checkpoint_serves(
    image_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    data = folder_data(
        image_root,
        "--data.train_sets=[PAIRS]",
        "--data.validation_fraction=0",
    )
    assert run("fit", folder, *data) == 0
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert run("test", folder, *data, "--data.test_sets=[PAIRS]") == 0
    assert json.loads((folder / "results.json").read_text())["checkpoint"].endswith("last.ckpt")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.fusion_dim=32"], "of another architecture.*fusion_dim (16 there, 32"),
        (["--model.network.fusion.name=concat"], "of another architecture.*name (mutualformer"),
        ([f"--ckpt_path={CONFIG}"], "cannot be read"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    options: list[str], words: str, trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        run("test", trained, *options)
    assert error.value.code == 2
    message = capfd.readouterr().err
    assert all(part in message for part in words.split(".*"))


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_a_checkpoint_of_a_newer_version_is_refused_before_anything_is_written(
    command: str, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["provenance"]["version"] = "1.2.0"
    newer = tmp_path / "newer.ckpt"
    torch.save(checkpoint, newer)
    with pytest.raises(SystemExit, match="2"):
        run(command, tmp_path / "run", f"--ckpt_path={newer}")
    message = capfd.readouterr().err
    assert f"error: checkpoint {newer} was written by mutualformer 1.2.0, and this is" in message
    assert "install a version of at least 1.2" in message
    assert not (tmp_path / "run").exists()


def test_the_mismatch_of_an_architecture_is_summed_up_before_anything_is_written(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last = trained / "checkpoints" / "last.ckpt"
    options = (f"--ckpt_path={last}", "--model.network.fusion_strides=[8,16]")
    with pytest.raises(SystemExit, match="2"):
        run("fit", tmp_path / "run", *options, "--trainer.max_epochs=2")
    message = capfd.readouterr().err
    assert "are missing (network.embeddings.3." in message
    assert "are unknown (network.embeddings.5." in message
    assert "Settings that differ: fusion_strides ([16, 32] there, [8, 16] here)" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_image_found_while_training_is_named(
    num_workers: int, image_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = image_root / "PAIRS" / "RGB" / "image_2.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    data = folder_data(image_root, "--data.train_sets=[PAIRS]", "--data.validation_fraction=0")
    with pytest.raises(SystemExit) as error:
        run("fit", tmp_path / "run", *data, f"--data.num_workers={num_workers}")
    assert error.value.code == 2
    message = next(x for x in capfd.readouterr().err.splitlines() if x.startswith("error: "))
    assert str(damaged) in message
    assert "Traceback" not in message


def test_the_summary_counts_the_flops_of_the_network(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--trainer.enable_model_summary=true", "--trainer.limit_val_batches=0"]
    assert run("fit", tmp_path / "run", *options) == 0
    (total,) = re.findall(r"Total FLOPs: (\S+) M", capfd.readouterr().out)
    assert 10 < float(total) < 1_000
