"""Run one trial: a training subprocess that holds the trial's lock."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path

from lightning_modules.runs.run_folder import Failure, RunFolder
from lightning_modules.sweep.sweep_file import Trial
from lightning_modules.sweep.trial_lock import TrialLock
from lightning_modules.sweep.trial_settings import check_settings, read_settings, write_settings

# A trial is a subprocess of its own, because Lightning starts the other processes of a training by
# running the first one's command again.
TRAINING_COMMAND = (sys.executable, "-m", "lightning_modules.main", "fit")
POLL_INTERVAL = 0.2  # seconds
_WANDB_LOGGER = "lightning_modules.tracking.WandbRunLogger"
_SECONDS_TO_END = 30
# Who wants a process to stop sends one of these; SIGKILL (out of memory) and SIGSEGV are faults.
_STOPPED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Outcome(Enum):
    """What became of an attempt to run a trial."""

    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    ALREADY_DONE = "already done"
    HELD = "held by another process"


@dataclass
class TrialProcess:
    """A trial that is being run.

    Attributes:
        trial: which.
        process: its training.
        lock: its lock.
        start: when it began, on the monotonic clock.
    """

    trial: Trial
    process: subprocess.Popen[bytes]
    lock: TrialLock
    start: float

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.start

    def poll(self) -> Outcome | None:
        """Return None while the training runs, then what became of it, once."""
        return None if self.process.poll() is None else self._end(stopped=False)

    def ask_to_stop(self) -> None:
        """Ask the training to end, without waiting for it."""
        self.process.terminate()

    def stop(self) -> Outcome:
        """End the training; the trial can be continued."""
        self.ask_to_stop()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self._end(stopped=True)

    def _end(self, stopped: bool) -> Outcome:
        try:
            folder = RunFolder(self.trial.folder)
            if folder.finished_results() is not None:
                return Outcome.DONE
            code = self.process.returncode
            if stopped or -code in _STOPPED_BY or code - 128 in _STOPPED_BY:
                return Outcome.STOPPED
            date = datetime.now(timezone.utc).isoformat(timespec="seconds")
            folder.write_failure(Failure(_reason(code), date))
            return Outcome.FAILED
        finally:
            self.lock.release()


def start_trial(
    trial: Trial, environment: Mapping[str, str] | None = None
) -> TrialProcess | Outcome:
    """Start a trial, or continue it from its last checkpoint.

    Args:
        trial: which.
        environment: replaces variables of the environment.

    Returns:
        The running trial; ``Outcome.ALREADY_DONE`` or ``Outcome.HELD`` if there is nothing to do.

    Raises:
        UserError: the folder holds a trial with other settings.
        OSError: the folder cannot be written.
    """
    folder = RunFolder(trial.folder)
    settings = read_settings(trial.configs, trial.parameters)
    lock = TrialLock.acquire(trial.folder)
    if lock is None:
        return Outcome.HELD
    try:
        check_settings(trial.folder, settings)
        if folder.finished_results() is not None:
            lock.release()
            return Outcome.ALREADY_DONE
        folder.failure.unlink(missing_ok=True)
        write_settings(trial.folder, settings)
        command = _training_command(trial, folder.usable_checkpoint())
        with folder.trial_log.open("ab") as log:
            date = datetime.now().astimezone().isoformat(" ", timespec="seconds")
            log.write(f"--- {date} {shlex.join(command)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_group_in_wandb(trial), **os.environ, **(environment or {})},
                pass_fds=[lock.descriptor],
            )
    except BaseException:
        lock.release()
        raise
    return TrialProcess(trial, process, lock, time.monotonic())


def _group_in_wandb(trial: Trial) -> dict[str, str]:
    """Let a tracked trial be found by its sweep, unless the user groups runs otherwise."""
    return {"WANDB_RUN_GROUP": trial.folder.resolve().parent.name, "WANDB_JOB_TYPE": "trial"}


def _training_command(trial: Trial, checkpoint: Path | None) -> list[str]:
    # Nobody watches a bar in a log; a configuration may still ask for it.
    command = [*TRAINING_COMMAND, "--trainer.enable_progress_bar=false"]
    for config in trial.configs:
        command.append(f"--config={config}")
    command += [*trial.arguments, f"--trainer.default_root_dir={trial.folder}"]
    command.append("--test_after_fit=true")
    if "WANDB_SWEEP_ID" in os.environ:  # wandb agent has a run for this trial, and waits for scores
        command.append(f"--trainer.logger={_WANDB_LOGGER}")
    if checkpoint is not None:
        command.append(f"--ckpt_path={checkpoint}")
    return command


def _reason(code: int) -> str:
    if code == 0:
        return "ended without complete results"
    if code > 0:
        return f"exit code {code}"
    if -code == signal.SIGKILL:
        return "killed (signal 9; out of memory?)"
    return f"killed by signal {-code}"
