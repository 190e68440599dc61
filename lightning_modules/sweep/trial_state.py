"""Where a trial of a sweep stands."""

from enum import Enum
from pathlib import Path

from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.sweep.trial_lock import lock_holder


class TrialState(str, Enum):
    """Where a trial stands."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DONE = "done"


def read_state(folder: Path, queued: bool = False) -> TrialState:
    """Tell the state of a trial; a results file that is damaged does not count.

    Args:
        folder: of the trial.
        queued: whether a task of Slurm is about to run it.
    """
    run = RunFolder(folder)
    if run.finished_results() is not None:
        return TrialState.DONE
    if lock_holder(folder) is not None:
        return TrialState.RUNNING
    if queued:
        return TrialState.QUEUED
    if run.failure.exists():
        return TrialState.FAILED
    return TrialState.INTERRUPTED if run.trial_log.exists() else TrialState.WAITING
