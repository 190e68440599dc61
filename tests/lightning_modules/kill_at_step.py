"""A callback that ends one process without warning; named by test_resume_two_processes.py."""

import os
import signal
from typing import Any

from lightning.pytorch import Callback


class KillAtStep(Callback):
    def __init__(self, step: int, rank: int) -> None:
        self.step = step
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
        if (trainer.global_step, trainer.global_rank) == (self.step, self.rank):
            os.kill(os.getpid(), signal.SIGKILL)
