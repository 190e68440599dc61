"""What a job of Slurm asks it: why it was stopped, and to be put into the queue again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

# Slurm sends SIGTERM when it preempts a job; the others are sent ahead of a time limit, if asked
# for with --signal: SIGUSR1 as Lightning expects it, SIGUSR2 as submitit does.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
AHEAD_OF_LIMIT = (signal.SIGUSR1, signal.SIGUSR2)
_SECONDS_TO_ANSWER = 60


class SlurmError(Exception):
    """Slurm refused, or did not answer; its words."""


def ask_slurm(command: Sequence[str]) -> str:
    """Run one of Slurm's commands; returns what it printed.

    Raises:
        SlurmError: it is not there, failed, or did not answer.
    """
    try:
        finished = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS_TO_ANSWER, check=True
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]} has not answered in {_SECONDS_TO_ANSWER} s") from error
    except subprocess.CalledProcessError as error:
        words = " ".join((error.stderr or error.stdout).split())
        raise SlurmError(words or f"{command[0]} failed") from error
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from error
    return finished.stdout


def is_started_by_srun() -> bool:
    """Tell whether this process is a task of Slurm, by what Lightning knows one by."""
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in (
        "bash",
        "interactive",
    )


def this_job() -> str:
    """Return the job that this process is a part of, as commands of Slurm name it."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def queue_again_after(signum: int | None) -> bool:
    """Put the job of a task that a signal stopped into the queue again, if it has to ask for that.

    Returns:
        Whether it is there now.
    """
    has_to = signum is not None and is_started_by_srun() and has_to_ask(signum)
    return has_to and queue_again()


def has_to_ask(signum: int) -> bool:
    """Tell whether the job that a signal stopped comes back only if it asks to be queued again.

    It does ahead of its time limit, and when it ends within the grace time of a preemption: Slurm
    queues again only what it has to end itself. One that was cancelled does not come back.
    """
    state, preempted, _ = _describe(this_job())
    if signum in AHEAD_OF_LIMIT:
        return state in ("RUNNING", "")
    return signum == signal.SIGTERM and state == "RUNNING" and preempted


def reached_its_limit() -> bool:
    """Tell whether Slurm ends the job for its time limit."""
    return _describe(this_job())[2] == "TimeLimit"


def queue_again() -> bool:
    """Put the job into the queue again, which ends it; say what became of that, and return it."""
    job = this_job()
    command = ["scontrol", "requeue", job]
    try:
        ask_slurm(command)
    except SlurmError as error:
        by_hand = f"Do it by hand: {' '.join(command)}"
        print(f"job {job} cannot be queued again: {error}. {by_hand}", file=sys.stderr, flush=True)
        return False
    print(f"Job {job} is queued again, and will continue.", file=sys.stderr, flush=True)
    return True


def _describe(job: str) -> tuple[str, bool, str]:
    """Return state, whether it is being preempted, and the reason; empty if Slurm does not say."""
    fields = "State:30,PreemptTime:30,Reason:60"
    try:
        answer = ask_slurm(["squeue", "--noheader", "--jobs", job, "--Format", fields])
        state, preempt_time, reason = answer.split()[:3]
    except (SlurmError, ValueError):
        return "", False, ""
    return state, preempt_time != "N/A", reason
