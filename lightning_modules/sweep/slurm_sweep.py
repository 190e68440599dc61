"""Submit the trials of a sweep to Slurm."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_modules.cli.trial import HELD_EXIT_CODE
from lightning_modules.sweep.sweep_file import Sweep, Trial
from mutualformer.errors import UserError

_FOLDER_NAME = "slurm"


@dataclass(frozen=True)
class SlurmTask:
    """Run a trial on a node of the cluster; submitit pickles it.

    A task that is preempted or runs out of time is put into the queue again, and continues from
    the trial's last checkpoint.

    Attributes:
        words: the command.
    """

    words: tuple[str, ...]

    def __call__(self) -> int:
        """Run the command; returns its exit code."""
        # Lightning would expect one task per GPU where it sees this: the trial is one task, and
        # starts the processes of its other GPUs itself.
        environment = {key: x for key, x in os.environ.items() if key != "SLURM_NTASKS"}
        process = subprocess.Popen(self.words, env=environment)
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if code not in (0, HELD_EXIT_CODE):
            raise RuntimeError(f"exit code {code} of {' '.join(self.words)}")
        return code

    def checkpoint(self) -> Any:
        """Say how to go on after a time limit: by the same command."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def submit_trials(sweep: Sweep, trials: Sequence[Trial], parameters: Mapping[str, Any]) -> str:
    """Submit one array job with a task per trial; returns its id.

    Args:
        sweep: its folder receives submitit's files and the tasks' output, in `slurm/`.
        trials: those that are to be run.
        parameters: of ``sbatch``, as submitit spells them.

    Raises:
        UserError: submitit or Slurm are not there, or refuse.
    """
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "--slurm needs submitit, which is not installed: pip install 'mutualformer[slurm]'"
        ) from error
    try:
        executor = submitit.SlurmExecutor(sweep.folder / _FOLDER_NAME)
        executor.update_parameters(**{"job_name": f"mutualformer-{sweep.path.stem}", **parameters})
        jobs = executor.submit_array([SlurmTask(_words(trial)) for trial in trials])
    except Exception as error:
        raise UserError(f"--slurm: {error}") from error
    return str(jobs[0].job_id).split("_")[0]


def _words(trial: Trial) -> tuple[str, ...]:
    return (sys.executable, "-m", "lightning_modules.main", *trial.words[1:])
