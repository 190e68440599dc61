"""The end of a sweep's task on Slurm, with the exit code of what it ran as the only argument.

A trial that a time limit or a preemption has stopped comes back, and so does one that another
process was running: the one of a node that was lost, for instance, which may live on for a while.
"""

import sys

from lightning_modules.cli.trial import HELD_EXIT_CODE
from lightning_modules.runs.slurm import (
    STOP_SIGNALS,
    has_to_ask,
    queue_again,
    reached_its_limit,
)


def comes_back(code: int) -> bool:
    """Tell whether the job is to be queued again, which Slurm does not do by itself."""
    if code == HELD_EXIT_CODE:
        return True
    signum = code - 128
    return signum in STOP_SIGNALS and (has_to_ask(signum) or reached_its_limit())


if __name__ == "__main__":
    code_of_task = int(sys.argv[1])
    if comes_back(code_of_task):
        queue_again()
    sys.exit(code_of_task)
