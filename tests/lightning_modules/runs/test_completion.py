"""A training that ended is complete: the same command trains nothing, a raised limit goes on."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from break_at import load, signal_at
from small_fit import SMALL, callback, fit, stop_at

from lightning_modules import SaliencyModule
from lightning_modules.runs.completion import is_raised


def early_stopping(patience: int) -> str:
    """Return the option for a stop after so many validations after the first: none is better."""
    score = "val/held_out/s_measure"
    return callback("EarlyStopping", monitor=score, patience=patience, min_delta=2)


WITHOUT_VALIDATION = "--data.num_val=0"
# What ends a training of at most four epochs, after how many steps.
ENDINGS = {
    "epochs": (["--trainer.max_epochs=2"], 6, "max_epochs 2 was reached"),
    "steps": (["--trainer.max_epochs=4", "--trainer.max_steps=4"], 4, "max_steps 4 was reached"),
    "steps without validation": (
        ["--trainer.max_epochs=4", "--trainer.max_steps=4", WITHOUT_VALIDATION],
        4,
        "max_steps 4 was reached",
    ),
    "steps before the first validation": (
        ["--trainer.max_epochs=4", "--trainer.max_steps=2"],
        2,
        "max_steps 2 was reached",
    ),
    "time": (
        ["--trainer.max_epochs=4", "--trainer.max_time={milliseconds: 1}"],
        1,
        "max_time was reached",
    ),
    "early stopping": (
        ["--trainer.max_epochs=4", early_stopping(1)],
        6,
        "EarlyStopping stopped it",
    ),
    "a callback within an epoch": (
        ["--trainer.max_epochs=4", stop_at(4)],
        4,
        "a callback stopped it",
    ),
    "a callback without validation": (
        ["--trainer.max_epochs=4", stop_at(4), WITHOUT_VALIDATION],
        4,
        "a callback stopped it",
    ),
    "an epoch that is not validated": (
        ["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=2"],
        9,
        "max_epochs 3 was reached",
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_same_command_finds_it_complete(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options, steps, reason = ENDINGS[name]
    folder = tmp_path / "run"
    assert fit(folder, *options) == 0
    assert load(folder)["global_step"] == steps
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    capfd.readouterr()
    assert fit(folder, *options, "--test_after_fit=true") == 0
    assert f"Training in {folder} ended: {reason}" in capfd.readouterr().err
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    assert json.loads((folder / "results.json").read_text())["scores"]


NO_NUMBER = ["--model.scheduler=StepLR", "--model.scheduler.step_size=3"]


@pytest.mark.parametrize("name", ["epochs", "steps", "steps without validation"])
def test_a_raised_limit_goes_on_to_what_it_would_have_been_at_once(
    name: str, tmp_path: Path
) -> None:
    options = ENDINGS[name][0]
    option, _, limit = next(x for x in reversed(options) if "max_" in x).partition("=")
    raised = f"{option}={2 * int(limit)}"
    folders = [tmp_path / "raised", tmp_path / "at_once"]
    assert fit(folders[0], *NO_NUMBER, *options) == 0
    for folder in folders:
        assert fit(folder, *NO_NUMBER, *options, raised) == 0
    ended, whole = (load(folder) for folder in folders)
    for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(ended[part], whole[part], rtol=0, atol=0)
    assert (ended["epoch"], ended["global_step"]) == (whole["epoch"], whole["global_step"])


def test_an_ending_is_of_the_settings_that_led_to_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A higher limit, or other callbacks, go on; a signal is no ending."""
    folder = tmp_path / "run"
    epochs = "--trainer.max_epochs=2"
    assert fit(folder, epochs, stop_at(2)) == 0
    ended = json.loads((folder / "ended.json").read_text())
    assert ended == {"reason": "a callback stopped it", "global_step": 2}
    assert fit(folder, epochs, stop_at(5)) == 0
    assert load(folder)["global_step"] == 5
    assert fit(folder, "--trainer.max_epochs=3", stop_at(5)) == 0
    assert load(folder)["global_step"] == 9
    with pytest.raises(SystemExit, match="2"):
        fit(folder, epochs, stop_at(5))
    assert "trainer.max_epochs (3 there, 2 now)" in capfd.readouterr().err


def test_a_longer_patience_counts(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    assert fit(folder, "--trainer.max_epochs=4", early_stopping(2)) == 0
    assert load(folder)["global_step"] == 9


def test_a_signal_is_no_ending(tmp_path: Path, forked: Callable) -> None:
    options = ["--trainer.max_epochs=2", f"--trainer.default_root_dir={tmp_path}"]
    command = ["fit", *SMALL, *options]
    stopped = forked(command, signal_at(SaliencyModule, "training_step", 2, signal.SIGTERM)).wait()
    assert (stopped.code, load(tmp_path)["global_step"]) == (0, 2), stopped.output
    assert not (tmp_path / "ended.json").exists()
    assert forked(command).wait().code == 0
    assert load(tmp_path)["global_step"] == 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert fit(folder, *ENDINGS["early stopping"][0]) == 0
    return folder


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ENDINGS["early stopping"][0], "EarlyStopping stopped it"),
        (["--trainer.max_epochs=2"], "trainer.max_epochs is 2, and it is at 2"),
        (["--trainer.max_epochs=1"], "trainer.max_epochs is 1, and it is at 2"),
        (["--trainer.max_epochs=4", "--trainer.max_steps=6"], "max_steps is 6, and it is at 6"),
    ],
)
def test_a_finished_run_is_not_continued_to_nothing_elsewhere(
    finished: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: list, words: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        fit(tmp_path / "new", *options, f"--ckpt_path={finished / 'checkpoints' / 'last.ckpt'}")
    (message,) = (x for x in capfd.readouterr().err.splitlines() if x.startswith("error: "))
    assert words in message and "--model.init_from" in message
    assert not (tmp_path / "new").exists()


def test_a_finished_run_goes_on_elsewhere_if_it_may(finished: Path, tmp_path: Path) -> None:
    last = finished / "checkpoints" / "last.ckpt"
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert fit(tmp_path / "new", "--trainer.max_epochs=4", f"--ckpt_path={last}") == 0
    assert load(tmp_path / "new")["global_step"] == 12
    assert (tmp_path / "new" / "checkpoints" / "best.ckpt").exists()
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (4, 8, True),
        (8, 4, False),
        (4, 4, False),
        (4, -1, True),
        (-1, 4, False),
        ("00:00:10:00", "00:01:00:00", True),
        ({"hours": 2}, "00:01:00:00", False),
        ({"minutes": 1}, {"minutes": 2}, True),
        ({"minutes": 1}, None, True),
    ],
)
def test_a_limit_is_raised_if_it_allows_more(before: object, now: object, expected: bool) -> None:
    assert is_raised("trainer.max_time", before, now) is expected
    assert not is_raised("trainer.min_epochs", before, now)
