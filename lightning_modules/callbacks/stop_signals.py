"""End a training where nothing is lost when a signal asks for it."""

import os
import signal
import subprocess
from typing import Any

from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_modules.lightning_internals import (
    gradients_wait_for_more,
    stop_after_this_step,
)

# Slurm sends SIGTERM when it preempts a job; the others are sent ahead of a time limit, if asked
# for with --signal: SIGUSR1 as Lightning expects it, SIGUSR2 as submitit does.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
REQUEUE_SIGNAL = signal.SIGUSR1


class StopSignals(Callback):
    """Let SIGTERM, SIGUSR1 and SIGUSR2 end training between two steps, in all processes alike.

    A validation is given up and repeated later; where several processes share one it is finished,
    because they may have unequally many batches left. `RunCheckpoint` then writes `last.ckpt`, and
    the process exits with 0.

    Attributes:
        signum: the signal that came; None before.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over from Lightning, which gives back what was there before.

        Its own handler talks to the other processes in the middle of whatever they are saying.
        """
        for signum in SIGNALS:
            signal.signal(signum, self._note)

    on_test_start = on_train_start

    def _note(self, signum: int, _frame: object) -> None:
        self.signum = signum

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        *_: Any,
    ) -> None:
        """Stop after this batch, unless its gradients wait for more: no checkpoint has them."""
        if not gradients_wait_for_more(trainer):
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stop after this epoch: a validation of several processes ran to its end."""
        self._stop_if_asked(trainer)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        """Stop before the validation, which would take its time."""
        self._stop_if_asked(trainer)
        if trainer.received_sigterm:
            raise SIGTERMException

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        *_: Any,
    ) -> None:
        """Stop within the validation of a single process."""
        if trainer.world_size == 1:
            self._stop_if_asked(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        *_: Any,
    ) -> None:
        """Stop within a test, which is repeated as a whole."""
        if self.signum is not None:
            raise SIGTERMException

    def _stop_if_asked(self, trainer: Trainer) -> None:
        if trainer.strategy.reduce_boolean_decision(self.signum is not None, all=False):
            stop_after_this_step(trainer)


def requeue_if_asked(trainer: Trainer) -> None:
    """Put a Slurm job that SIGUSR1 stopped into the queue again.

    A preempted job, which gets SIGTERM, is queued again by Slurm itself.
    """
    asked = any(
        isinstance(callback, StopSignals) and callback.signum == REQUEUE_SIGNAL
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    )
    if not (asked and trainer.is_global_zero and SLURMEnvironment.detect()):
        return
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        rank_zero_warn(
            f"job {job} cannot be queued again: {reason}. Do it by hand: {' '.join(command)}"
        )
    else:
        rank_zero_info(f"Job {job} is queued again, and will continue.")
