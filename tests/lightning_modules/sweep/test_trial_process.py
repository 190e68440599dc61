"""What becomes of one trial: its folder, its lock, its checkpoint."""

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.sweep import trial_process
from lightning_modules.sweep.sweep_file import Trial
from lightning_modules.sweep.trial_lock import TrialLock, lock_holder
from lightning_modules.sweep.trial_process import Outcome, TrialProcess, start_trial
from lightning_modules.sweep.trial_state import TrialState, read_state

from .conftest import FAKE_TRAINING, TINY, read_events


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    command = (sys.executable, str(FAKE_TRAINING))
    monkeypatch.setattr(trial_process, "TRAINING_COMMAND", command)
    return Trial({"a.b": 0.5}, tmp_path / "runs" / "b=0.5", (TINY,))


def started(trial: Trial, **environment: str) -> TrialProcess:
    process = start_trial(trial, environment)
    assert isinstance(process, TrialProcess)
    return process


def end(process: TrialProcess) -> Outcome:
    while (outcome := process.poll()) is None:
        time.sleep(0.01)
    return outcome


def write_checkpoint(folder: Path, name: str) -> Path:
    path = folder / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", bytes(1000))
    return path


def test_under_wandb_agent_a_trial_logs_to_its_run(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(started(trial))
    assert "WandbRunLogger" not in RunFolder(trial.folder).end_of_log()
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    (trial.folder / "results.json").unlink()
    end(started(trial))
    assert (
        "--trainer.logger=lightning_modules.tracking.WandbRunLogger"
        in RunFolder(trial.folder).end_of_log()
    )


def test_a_trial_is_run_once(trial: Trial) -> None:
    assert read_state(trial.folder) is TrialState.WAITING
    assert end(started(trial)) is Outcome.DONE
    assert read_state(trial.folder) is TrialState.DONE
    assert start_trial(trial) is Outcome.ALREADY_DONE
    log = RunFolder(trial.folder).end_of_log()
    assert f"--config={TINY} --a.b=0.5 --trainer.default_root_dir={trial.folder}" in log
    assert "--test_after_fit=true" in log
    assert lock_holder(trial.folder) is None


def test_results_cut_in_half_do_not_count(trial: Trial) -> None:
    end(started(trial))
    results = trial.folder / "results.json"
    results.write_text(results.read_text()[: results.stat().st_size // 2])
    assert read_state(trial.folder) is TrialState.INTERRUPTED
    assert end(started(trial)) is Outcome.DONE
    assert [event for event, _ in read_events(trial.folder.parent)] == [
        *("start", "end"),
        *("continue", "end"),
    ]


def test_a_running_trial_is_left_to_who_runs_it(trial: Trial) -> None:
    process = started(trial, FAKE_SECONDS="30")
    try:
        assert read_state(trial.folder) is TrialState.RUNNING
        assert start_trial(trial) is Outcome.HELD
    finally:
        assert process.stop() is Outcome.STOPPED
    assert read_state(trial.folder) is TrialState.INTERRUPTED
    assert RunFolder(trial.folder).read_failure() is None


def test_the_lock_lives_as_long_as_the_process_it_was_handed_to(tmp_path: Path) -> None:
    lock = TrialLock.acquire(tmp_path)
    assert lock is not None
    child = subprocess.Popen(["sleep", "30"], pass_fds=[lock.descriptor])
    lock.release()
    try:
        assert lock_holder(tmp_path) is not None
        assert TrialLock.acquire(tmp_path) is None
    finally:
        child.kill()
        child.wait()
    assert lock_holder(tmp_path) is None
    again = TrialLock.acquire(tmp_path)
    assert again is not None
    again.release()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"FAKE_FAILURE": "b=0.5"}, "exit code 3"), ({"PYTHONHOME": "/nowhere"}, "exit code 1")],
)
def test_a_failure_is_kept_and_the_trial_is_tried_again(
    environment: dict[str, str], reason: str, trial: Trial
) -> None:
    assert end(started(trial, **environment)) is Outcome.FAILED
    failure = RunFolder(trial.folder).read_failure()
    assert failure is not None
    assert failure.reason == reason
    assert read_state(trial.folder) is TrialState.FAILED
    assert end(started(trial)) is Outcome.DONE
    assert RunFolder(trial.folder).read_failure() is None


def test_a_training_that_is_killed_has_failed(trial: Trial) -> None:
    process = started(trial, FAKE_SECONDS="30")
    process.process.kill()
    assert end(process) is Outcome.FAILED
    failure = RunFolder(trial.folder).read_failure()
    assert failure is not None
    assert "signal 9" in failure.reason


def test_a_folder_of_another_experiment_is_refused(trial: Trial, tmp_path: Path) -> None:
    end(started(trial))
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer: {max_epochs: 9}\ndata: {num_workers: 3}\n")
    other = Trial(trial.parameters, trial.folder, (TINY, overlay))
    with pytest.raises(match=r"trainer.max_epochs = 1, now it is 9: choose another"):
        start_trial(other)
    overlay.write_text("data: {num_workers: 3}\ntrainer: {logger: {class_path: x}}\n")
    assert start_trial(other) is Outcome.ALREADY_DONE
    assert lock_holder(trial.folder) is None


def test_a_checkpoint_that_was_cut_is_not_used(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).usable_checkpoint() is None
    best = write_checkpoint(tmp_path, "best.ckpt")
    last = write_checkpoint(tmp_path, "last.ckpt")
    assert RunFolder(tmp_path).usable_checkpoint() == last
    last.write_bytes(last.read_bytes()[:500])
    assert RunFolder(tmp_path).usable_checkpoint() == best
    damaged = bytearray(best.read_bytes())
    damaged[300] ^= 1
    best.write_bytes(damaged)
    assert RunFolder(tmp_path).usable_checkpoint() is None
    assert list(tmp_path.rglob("*.ckpt")) == []


def test_progress_and_the_end_of_the_log(trial: Trial) -> None:
    assert RunFolder(trial.folder).read_progress() == ""
    assert RunFolder(trial.folder).end_of_log() == ""
    end(started(trial))
    assert RunFolder(trial.folder).read_progress() == "epoch 2 of 4"
    (trial.folder / "trial.log").write_text("".join(f"line {i}\n" for i in range(50)) + "1%\r99%\n")
    assert RunFolder(trial.folder).end_of_log(2) == "line 49\n99%"


def test_what_is_run_is_recorded(trial: Trial) -> None:
    end(started(trial))
    settings = json.loads((trial.folder / "trial.json").read_text())
    assert settings["a.b"] == "0.5"
    assert settings["model.network.fusion.num_heads"] == "2"
