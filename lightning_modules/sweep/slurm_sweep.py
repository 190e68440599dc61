"""Submit the trials of a sweep to Slurm."""

import io
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Any

from lightning_modules.runs.slurm import STOP_SIGNALS
from lightning_modules.sweep.slurm_queue import SlurmFolder
from lightning_modules.sweep.stop_request import StopRequest
from lightning_modules.sweep.sweep_file import Sweep, Trial
from lightning_modules.sweep.trial_process import POLL_INTERVAL
from mutualformer.errors import UserError

_MOST_SECONDS_AHEAD = 90  # of the time limit, in which a step is finished and saved
# The shell of a task outlives what it runs, and asks for another turn: until a trial's process has
# begun to listen, nothing else can. A handler, since children would inherit what is ignored.
_OUTLIVE = f"trap : {' '.join(signal.Signals(x).name.removeprefix('SIG') for x in STOP_SIGNALS)}"


@dataclass(frozen=True)
class SlurmTask:
    """Run a trial on a node of the cluster; submitit pickles it.

    Attributes:
        words: the command.
    """

    words: tuple[str, ...]

    def __call__(self) -> None:
        """Run the command, and exit as it does; by a signal, once the trial has saved."""
        # Lightning would expect one task per GPU where it sees this: the trial is one task, and
        # starts the processes of its other GPUs itself.
        environment = {key: x for key, x in os.environ.items() if key != "SLURM_NTASKS"}
        with StopRequest() as stop:
            process = subprocess.Popen(self.words, env=environment)
            asked = False
            while (code := process.poll()) is None:
                if stop.signum is not None and not asked:
                    process.terminate()
                    asked = True
                time.sleep(POLL_INTERVAL)
        # Not an exception, of which submitit would print the traceback.
        sys.exit(stop.exit_code if code and stop.signum else code if code >= 0 else 128 - code)


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
    folder = SlurmFolder(sweep.folder)
    given = {key: str(parameters.get(key, "")) for key in ("comment", "setup", "teardown")}
    comment = folder.begin_submission([trial.folder.name for trial in trials])
    end_of_task = shlex.join([sys.executable, "-m", "lightning_modules.sweep.end_of_task"])
    settings = {
        "job_name": f"mutualformer-{sweep.path.stem}",
        "signal_delay_s": min(_MOST_SECONDS_AHEAD, parameters["time"] * 60 // 4),
        "additional_parameters": {"requeue": True},  # which a cluster may forbid by default
        **parameters,
        "comment": f"{comment} {given['comment']}".rstrip(),
        "setup": [_OUTLIVE, given["setup"]],
        "teardown": ["code=$?", given["teardown"], f"{end_of_task} $code"],
    }
    tasks = [SlurmTask(_words(trial)) for trial in trials]
    try:
        # It prints what it raises, too.
        with redirect_stderr(io.StringIO()):
            executor = submitit.SlurmExecutor(folder.path)
            executor.update_parameters(**settings)
            jobs = executor.submit_array(tasks)
    except Exception as error:
        folder.give_submission_up()
        raise UserError(f"--slurm: {' '.join(str(error).split())}") from error
    return str(jobs[0].job_id).split("_")[0]


def _words(trial: Trial) -> tuple[str, ...]:
    return (sys.executable, "-m", "lightning_modules.main", *trial.words[1:])
