"""A task of a user, by class path, goes the whole way: no file of the project knows it."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from lightning_modules.main import main
from lightning_modules.runs.results import read_results

HERE = Path(__file__).parent
CONFIG = {
    "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": 2, "num_sanity_val_steps": 0}
    | {"log_every_n_steps": 1, "enable_progress_bar": False, "enable_model_summary": False},
    "model": {
        "class_path": "toy_task.DepthModule",
        "init_args": {
            "network": {"class_path": "toy_task.ColourNetwork", "init_args": {"width": 4}},
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
        },
    },
    "data": {
        "class_path": "datamodules.SyntheticRGBDDataModule",
        "init_args": {"image_size": 32, "num_train": 8, "num_val": 3, "num_test": 5}
        | {"batch_size": 2, "eval_batch_size": 2},
    },
}
Toy = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    return path


@pytest.fixture(scope="module")
def toy(config: Path) -> Toy:
    """Run a command with the folder of these tests on the path, as a user has his own."""

    def run(*words: str, returncode: int = 0) -> subprocess.CompletedProcess:
        path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
        settings = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        finished = subprocess.run(
            [sys.executable, "-m", "lightning_modules.main", *words],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == returncode, finished.stdout + finished.stderr
        return finished

    return run


@pytest.fixture(scope="module")
def fit(toy: Toy, config: Path) -> Toy:
    def run(folder: Path, *options: str, **more: Any) -> subprocess.CompletedProcess:
        at = f"--trainer.default_root_dir={folder}"
        return toy("fit", "--config", str(config), at, *options, **more)

    return run


@pytest.fixture(scope="module")
def whole(fit: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "run"
    logger = "--trainer.logger=lightning_modules.tracking.WandbRunLogger"
    assert "AbsErr" in fit(folder, "--test_after_fit=true", logger).stdout
    return folder


def run_id(folder: Path) -> str:
    return (folder / "wandb_run_id.txt").read_text().strip()


def test_a_run_leaves_scores_pictures_and_a_tracked_run(whole: Path) -> None:
    results = read_results(whole / "results.json")
    assert set(results.scores["synthetic"]) == {"rmse", "absolute_error"}
    assert [(x.heading, x.higher_is_better) for x in results.descriptions] == [
        ("RMSE", False),
        ("AbsErr", False),
    ]
    assert results.protocol.startswith("over all pixels")
    assert (whole / "learning_curves.png").is_file()
    with Image.open(whole / "contact_sheet_test.png") as page:
        assert page.width > 3 * 200
    # The parts of fit and test are one run.
    *_, tested = sorted((whole / "wandb").glob(f"offline-run-*-{run_id(whole)}"))
    assert json.loads((tested / "files" / "results.json").read_text())["scores"] == results.scores


def test_the_best_checkpoint_has_the_lowest_error(whole: Path) -> None:
    best = torch.load(whole / "checkpoints" / "best.ckpt", weights_only=True)
    state = best["callbacks"]["RunCheckpoint"]
    assert state["monitor"] == "val/held_out/rmse"
    with next(whole.glob("logs/*/metrics.csv")).open() as file:
        errors = [float(row["val/held_out/rmse"] or "inf") for row in csv.DictReader(file)]
    assert float(state["best_model_score"]) == pytest.approx(min(errors), rel=1e-6)


@pytest.mark.slow
def test_killed_it_goes_on_to_an_equal_end(fit: Toy, whole: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "kill.yaml"
    kill = {"class_path": "kill_at_step.KillAtStep", "init_args": {"step": 6, "rank": 0}}
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks": [kill]}}))
    folder = tmp_path / "run"
    killed = fit(folder, "--config", str(overlay), "--test_after_fit=true", returncode=-9)
    assert killed.returncode == -signal.SIGKILL and not (folder / "results.json").exists()
    fit(folder, "--test_after_fit=true")
    last, expected = (
        torch.load(x / "checkpoints" / "last.ckpt", weights_only=True) for x in (folder, whole)
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step"):
        torch.testing.assert_close(last[part], expected[part], rtol=0, atol=0)
    assert (
        read_results(folder / "results.json").scores == read_results(whole / "results.json").scores
    )


@pytest.mark.slow
def test_its_network_is_exported(toy: Toy, whole: Path) -> None:
    refused = toy("export", str(whole), returncode=2).stderr
    assert "toy_task.ColourNetwork" in refused and "--import MODULE" in refused
    toy("export", str(whole), "--import", "toy_task")
    written = sorted(path.name for path in (whole / "export").iterdir())
    assert written == ["README.md", "config.json", "model.onnx", "model.safetensors"]


def test_its_saved_configuration_serves_test_and_predict(toy: Toy, whole: Path) -> None:
    before = read_results(whole / "results.json").scores
    toy("test", "--config", str(whole / "config.yaml"))
    assert read_results(whole / "results.json").scores == before
    toy("predict", "--config", str(whole / "config.yaml"))
    maps = sorted((whole / "predictions" / "synthetic").iterdir())
    assert len(maps) == 5
    with Image.open(maps[0]) as image:
        assert (image.mode, image.size) == ("L", (32, 32))


@pytest.mark.slow
def test_a_sweep_and_its_table_rank_by_its_scores(toy: Toy, config: Path, tmp_path: Path) -> None:
    sweep = {
        "method": "grid",
        "parameters": {"model.optimizer.lr": {"values": [0.0001, 0.05]}},
        "command": ["mutualformer", "trial", "--folder", str(tmp_path / "runs")]
        + ["--config", str(config), "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    finished = toy("sweep", str(tmp_path / "sweep.yaml"))
    assert "2 trials: 2 done" in finished.stdout and "RMSE" in finished.stdout
    definition = tmp_path / "table.yaml"
    definition.write_text("title: Toy\nsweep: sweep.yaml\nreference: {lr: 0.0001}\n")
    output = tmp_path / "table.md"
    assert main(["table", str(definition), "--output", str(output)]) == 0
    text = output.read_text()
    assert "RMSE ↓" in text and "AbsErr ↓" in text and "max F" not in text
    worst, best = (
        read_results(tmp_path / "runs" / f"lr={lr}" / "results.json") for lr in ("0.0001", "0.05")
    )
    low, high = sorted(x.scores["synthetic"]["rmse"] for x in (worst, best))
    assert f"**{low:.3f}**".replace("0.", ".") in text
    assert f"<u>{high:.3f}</u>".replace("0.", ".") in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.num_outputs=2"], "(1, 2, 32, 32), expected by toy_task.DepthModule"),
        (["--model.network.stride=2"], "output of toy_task.ColourNetwork is (1, 1, 16, 16)"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(
    fit: Toy, tmp_path: Path, options: list[str], words: str
) -> None:
    error = fit(tmp_path / "run", *options, returncode=2).stderr
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert words in line and "Traceback" not in error
    assert not (tmp_path / "run").exists()
