"""Every shipped experiment and overlay parses, says what it is for, and runs."""

from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml

from lightning_modules.main import main
from lightning_modules.runs.settings import flatten
from tests.support.made_pairs import write_pairs

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
EXPERIMENTS = sorted(FOLDER.glob("*.yaml"))
OVERLAYS = sorted((FOLDER / "overlays").glob("*.yaml"))
# Sweeps and tables have formats and tests of their own.
OTHER_FOLDERS = {"ablations", "probes", "tables"}

TEST_SETS = ["NJU2K", "NLPR", "DUT-RGBD", "SIP", "STEREO", "LFSD"]


@cache
def resolved(*paths: Path) -> dict:
    """Return the configuration that `fit` makes of several files, not to be changed."""
    configs = [word for path in paths for word in ("--config", str(path))]
    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as error:
        main(["fit", *configs, "--print_config"])
    assert error.value.code == 0
    return yaml.safe_load(printed.getvalue())


def changes(overlay: dict, configuration: dict) -> list[str]:
    """Name the settings of an overlay that a configuration does not have."""
    there, here = flatten(overlay), flatten(configuration)
    return [
        f"{name}: {here.get(name)!r}"
        for name, value in there.items()
        # A class without options may stand for itself.
        if here.get(name, here.get(f"{name}.class_path")) != value
    ]


def test_no_file_is_left_untested() -> None:
    others = [path for name in OTHER_FOLDERS for path in (FOLDER / name).rglob("*.yaml")]
    assert sorted(FOLDER.rglob("*.yaml")) == sorted([*EXPERIMENTS, *OVERLAYS, *others])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_parses_to_the_configuration_it_states(path: Path) -> None:
    configuration = resolved(path)
    assert not changes(yaml.safe_load(path.read_text()), configuration)
    for axis in ("name", "epsilon", "num_iterations", "initial_affinity"):
        assert f"model.network.fusion.{axis}" in flatten(yaml.safe_load(path.read_text()))
    assert configuration["trainer"]["default_root_dir"] == f"runs/{path.stem}"
    header = path.read_text().split("seed_everything")[0]
    assert f"mutualformer fit --config experiments/{path.name}" in header
    assert "eproduce" in header or path.stem == "overfit"
    assert "Cost:" in header


@pytest.mark.parametrize(
    ("path", "overlay"),
    [
        # Each experiment with one overlay, each overlay with some; the rest when there is time.
        pytest.param(
            path,
            overlay,
            marks=() if (row + column) % len(OVERLAYS) == 0 else pytest.mark.slow,
            id=f"{path.stem}-{overlay.stem}",
        )
        for row, path in enumerate(EXPERIMENTS)
        for column, overlay in enumerate(OVERLAYS)
    ],
)
def test_every_overlay_lies_over_every_experiment(path: Path, overlay: Path) -> None:
    laid_over = yaml.safe_load(overlay.read_text())
    configuration = resolved(path, overlay)
    assert not changes(laid_over, configuration)
    assert configuration["data"]["class_path"] == resolved(path)["data"]["class_path"]
    header = overlay.read_text().split("trainer:")[0]
    assert f"--config experiments/overlays/{overlay.name}" in header
    assert "Reproduces nothing" in header and "Cost:" in header


def test_the_two_training_sets_of_the_paper_differ_in_nothing_else() -> None:
    one, other = (
        yaml.safe_load((FOLDER / f"rgbd_sod_{count}.yaml").read_text()) for count in (2185, 2985)
    )
    assert one["data"]["init_args"].pop("train_sets") == 2185
    assert other["data"]["init_args"].pop("train_sets") == 2985
    assert one["trainer"].pop("default_root_dir") != other["trainer"].pop("default_root_dir")
    assert one == other
    assert one["data"]["init_args"]["test_sets"] == [f"test/{name}" for name in TEST_SETS]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """Return a folder with three pairs of every data set of the paper."""
    folders = [f"train/{name}" for name in TEST_SETS[:3]] + [f"test/{name}" for name in TEST_SETS]
    return write_pairs(tmp_path / "DATA", folders)


RGBT_SETS = ["VT821", "VT1000", "VT5000"]


@pytest.fixture
def rgbt_root(tmp_path: Path) -> Path:
    """Return a folder with three pairs of every RGB-T data set, thermal in false colours."""
    folders = ("train/VT5000", *(f"test/{name}" for name in RGBT_SETS))
    return write_pairs(tmp_path / "DATA", folders, thermal=True)


@pytest.mark.slow
def test_rgb_and_thermal_train_test_and_predict(
    rgbt_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = []
    for path in ("rgbt_sod.yaml", "overlays/cpu.yaml", "overlays/smoke.yaml"):
        configs += ["--config", str(FOLDER / path)]
    assert main(["fit", *configs, *TINY_ENCODER]) == 0
    run = tmp_path / "runs" / "smoke"
    saved = ["--config", str(run / "config.yaml")]
    assert main(["test", *saved]) == 0
    scores = yaml.safe_load((run / "results.json").read_text())["scores"]
    assert sorted(scores) == sorted(RGBT_SETS)
    folder = str(rgbt_root / "test" / "VT821")
    predict = ["predict", *saved, "--data.predict_root", folder]
    assert main(predict) == 0
    assert len(list((run / "predictions").rglob("*.png"))) == 2  # one batch, as smoke says
    pages = sorted(path.name for path in run.glob("contact_sheet_*.png"))
    assert pages == [f"contact_sheet_{stage}.png" for stage in ("predict", "test", "train")]
    assert (run / "affinity_maps" / "VT821.png").is_file()


def test_channels_that_differ_between_data_and_network_are_one_message(
    rgbt_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    configs = []
    for path in ("rgbt_sod.yaml", "overlays/cpu.yaml", "overlays/smoke.yaml"):
        configs += ["--config", str(FOLDER / path)]
    with pytest.raises(SystemExit) as error:
        main(["fit", *configs, *TINY_ENCODER, "--model.network.depth_channels=1"])
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert "depth_channels of the network and of the data must be the same" in message
    assert "Traceback" not in message


TINY_ENCODER = (
    "--model.network.encoder_name=resnet18",
    "--model.network.fusion_dim=16",
    "--model.network.decoder_dim=32",
    "--model.network.fusion.num_heads=2",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synthetic_cpu", "synthetic_gpu", "rgbd_sod_2985", "overfit"])
def test_each_family_runs_under_the_smoke_overlay(
    name: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # data.root and default_root_dir are relative
    configs = []
    for path in (f"{name}.yaml", "overlays/cpu.yaml", "overlays/smoke.yaml"):
        configs += ["--config", str(FOLDER / path)]
    options, test_options = list(TINY_ENCODER), []
    if name == "overfit":
        options += ["--data.root=DATA", "--data.train_sets=[train/NJU2K]"]
        test_options = ["--data.test_sets=[train/NJU2K]"]
    assert main(["fit", *configs, *options]) == 0
    assert main(["test", "--config", "runs/smoke/config.yaml", *test_options]) == 0
    scores = yaml.safe_load((tmp_path / "runs" / "smoke" / "results.json").read_text())["scores"]
    expected = {"overfit": ["NJU2K"], "rgbd_sod_2985": TEST_SETS}.get(name, ["synthetic"])
    assert sorted(scores) == sorted(expected)
    for dataset in expected:
        assert (tmp_path / "runs" / "smoke" / "affinity_maps" / f"{dataset}.png").is_file()


@pytest.mark.slow
def test_the_public_data_experiment_runs_on_real_pairs(shared: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    options = [
        *("--config", str(FOLDER / "rgbd_sod_2185.yaml"), *TINY_ENCODER),
        *("--trainer.default_root_dir", str(tmp_path / "run")),
        *("--data.root", str(shared / "data" / "rgbd_sod"), "--data.train_sets", "[DES]"),
        *("--data.test_sets", "[SSD]", "--data.image_size=64", "--data.num_workers=0"),
        *("--data.batch_size=2", "--model.network.encoder_weights=null"),
        *("--trainer.accelerator=cpu",),
    ]
    assert main(["fit", *options, "--trainer.max_epochs=1"]) == 0
    assert main(["test", *options]) == 0
    assert (tmp_path / "run" / "results.json").is_file()
