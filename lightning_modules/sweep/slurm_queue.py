"""Which trials of a sweep Slurm knows: what was submitted, and what has become of it."""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from datamodules.files import write_atomically
from lightning_modules.runs.slurm import SlurmError, ask_slurm
from lightning_modules.sweep.trial_lock import TrialLock
from mutualformer.errors import UserError

# Of jobs that will do nothing more; all others are, or come back, in the queue.
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "TIMEOUT"),
}
_MAY_NOT_HAVE_STARTED = {"BOOT_FAIL", "CANCELLED", "DEADLINE", "NODE_FAIL"}
_PREFIX = "mutualformer-"
_FORMAT = "%i|%T|%r|%k"


@dataclass(frozen=True)
class QueuedTask:
    """A task of an array job, of which Slurm knows.

    Attributes:
        job: as Slurm names it.
        state: in Slurm's words.
        reason: why it waits or ended, likewise.
        left_nothing: whether it ended without any output in the sweep's folder.
    """

    job: str
    state: str
    reason: str
    left_nothing: bool

    @property
    def has_ended(self) -> bool:
        """Whether it will do nothing more."""
        return self.state in _ENDED

    def __str__(self) -> str:
        """Describe it."""
        reason = "" if self.reason in ("None", "(null)") else f", {self.reason}"
        return f"Slurm job {self.job}: {self.state}{reason}"


class SlurmFolder:
    """The folder `slurm/` of a sweep: submitit's files, output of tasks, and what was submitted.

    A submission is known to Slurm by its comment, and here by a file that says which trial is which
    task; that is written first, so that nothing is in the queue of which nobody knows.

    Args:
        sweep_folder: the folder of the sweep.
    """

    def __init__(self, sweep_folder: Path) -> None:
        self.path = sweep_folder / "slurm"
        self._begun: Path | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else submit meanwhile.

        Raises:
            UserError: somebody else is submitting.
        """
        lock = TrialLock.acquire(self.path)
        if lock is None:
            raise UserError(f"another process is submitting the trials in {self.path.parent}: wait")
        try:
            yield
        finally:
            lock.release()
            self._remove_if_empty()

    def begin_submission(self, trials: Sequence[str]) -> str:
        """Note which trials are about to be submitted, by name; returns the comment of the job."""
        comment = f"{_PREFIX}{uuid.uuid4().hex[:12]}"
        self._begun = self.path / f"{comment}.json"
        write_atomically(self._begun, json.dumps(list(trials)).encode())
        return comment

    def give_submission_up(self) -> None:
        """Remove what a submission that was refused has left."""
        if self._begun is not None:
            self._begun.unlink(missing_ok=True)
        for pattern in (".submission_file_*.sh", f"{'[0-9a-f]' * 32}.pkl"):
            for path in self.path.glob(pattern):
                if not path.is_symlink():  # to that of an earlier submission
                    path.unlink(missing_ok=True)

    def tasks(self) -> dict[str, QueuedTask]:
        """Return the last task of each trial, by the trial's name, as far as Slurm remembers it.

        Raises:
            UserError: Slurm does not answer.
        """
        if not any(self.path.glob(f"{_PREFIX}*.json")):
            return {}
        command = ["squeue", "--noheader", "--array", "--states=all", f"--format={_FORMAT}"]
        try:
            lines = ask_slurm(command).splitlines()
        except SlurmError as error:
            raise UserError(f"which trials Slurm has queued is not known: {error}") from error
        tasks: dict[str, QueuedTask] = {}
        for line in lines:
            job, state, reason, comment = line.split("|", 3)
            names = self._trials_of(comment)
            _, _, index = job.partition("_")
            if names and (not index or index.isdecimal()):
                name = names[int(index or 0)]
                task = QueuedTask(job, state, reason, not (self.path / f"{job}_0_log.out").exists())
                if name not in tasks or tasks[name].has_ended:
                    tasks[name] = task
        return tasks

    def _trials_of(self, comment: str) -> list[str]:
        name = comment.partition(" ")[0]  # a user may comment, too
        if not name.startswith(_PREFIX) or "/" in name:
            return []
        try:
            return json.loads((self.path / f"{name}.json").read_bytes())
        except (OSError, ValueError):  # of another sweep
            return []

    def _remove_if_empty(self) -> None:
        if [path.name for path in self.path.iterdir()] == [".lock"]:
            (self.path / ".lock").unlink()
            with suppress(OSError):  # the folder of the sweep may hold trials
                self.path.rmdir()
                self.path.parent.rmdir()


def check_shared(folder: SlurmFolder, tasks: Iterable[QueuedTask]) -> None:
    """Refuse to submit again what a node could not run for want of the folder.

    Raises:
        UserError: a task has failed without having written anything here.
    """
    for task in tasks:
        if task.has_ended and task.left_nothing and task.state not in _MAY_NOT_HAVE_STARTED:
            raise UserError(
                f"{task}, and has left no output in {folder.path}: the node seems not to see that "
                "folder. Give one that all nodes share, with --folder"
            )
