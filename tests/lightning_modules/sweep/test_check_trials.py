"""Mistakes in a sweep are found before its first trial starts; nothing is a stand-in here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_modules.main import main

from .conftest import EPSILON, TINY

FUSION = "model.network.fusion"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({f"{FUSION}.epsilom": [0.1]}, "epsilom"),
        ({"model.netwrk": [0.1]}, "SaliencyModule has no option netwrk"),
        ({EPSILON: [0.1, 1.0]}, "trial epsilon=1: epsilon is 1.0, expected 0 <= epsilon < 1"),
        ({EPSILON: [0.1, "much"]}, "epsilon"),
        ({f"{FUSION}.num_iterations": [1, "inf", -1]}, "num_iterations is -1"),
        ({f"{FUSION}.num_iterations": [1.5]}, "num_iterations"),
        ({f"{FUSION}.initial_affinity": ["identity", "mean"]}, "initial_affinity"),
        ({"model.network.fusion_strides": [[16], [2]]}, "fusion_strides holds 2"),
        ({"model.optimizer.lr": [0.1, -0.1]}, "model.optimizer: Invalid learning rate: -0.1"),
        ({"data.num_train": [4, 0], "seed_everything": [0, 1]}, "num_train is 0"),
        ({"seed_everything": [0, -1]}, "seed_everything is -1"),
        (
            {f"{FUSION}.variant": ["paper", "release"], f"{FUSION}.num_iterations": [1, 2]},
            "trial num_iterations=2,variant=release: num_iterations is 2, but variant='release'",
        ),
        (
            {"checkpoint.monitor": ["val/held_out/f_max", "test/synthetic/f_max"]},
            "must not be chosen on a test set",
        ),
    ],
)
def test_a_mistake_in_any_trial_is_named_and_nothing_is_created(
    parameters: dict[str, list[object]],
    words: str,
    write_sweep: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = write_sweep({name: {"values": values} for name, values in parameters.items()})
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(path), "--dry-run"])
    output, errors = capfd.readouterr()
    messages = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(messages) == 1
    assert messages[0].startswith(f"error: {path}: trial ")
    assert words in messages[0]
    assert "mutualformer trial" not in output
    assert sorted(tmp_path.iterdir()) == [path]


def test_absent_data_is_named(
    write_sweep: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "experiment.yaml"
    text = TINY.read_text()
    config.write_text(
        text[: text.index("data:")] + "data:\n  class_path: datamodules.RGBDSaliencyDataModule\n"
        "  init_args: {root: nowhere, train_sets: [DES], test_sets: [SIP]}\n"
    )
    path = write_sweep()
    # Not as a dry run: nothing may start.
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(path), "--config", str(config)])
    assert "nowhere: no such folder" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_what_is_right_passes(
    write_sweep: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values: dict[str, list[object]] = {
        f"{FUSION}.num_iterations": [0, 4, "inf"],
        "model.network.fusion_strides": [[32], [8, 16, 32]],
        "seed_everything": [0, 1],
    }
    path = write_sweep({name: {"values": values[name]} for name in values})
    assert main(["sweep", str(path), "--dry-run"]) == 0
    assert capfd.readouterr().out.count("mutualformer trial") == 12
    assert sorted(tmp_path.iterdir()) == [path]
