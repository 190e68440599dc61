"""End a training where nothing is lost when a signal asks for it."""

import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lightning_modules.lightning_internals import (
    gradients_wait_for_more,
    stop_after_this_step,
)
from lightning_modules.runs.slurm import STOP_SIGNALS as SIGNALS
from lightning_modules.runs.slurm import queue_again_after


class StopSignals(Callback):
    """Let SIGTERM, SIGUSR1 and SIGUSR2 end training between two steps, in all processes alike.

    A validation is given up and repeated later; where several processes share one it is finished,
    because they may have unequally many batches left. `RunCheckpoint` then writes `last.ckpt`, and
    the process exits with 0.

    Attributes:
        signum: the first signal that came; None before.
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
        # What comes after it, such as the SIGTERM of who passes it on, says less of why.
        self.signum = self.signum or signum

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


def was_stopped(trainer: Trainer, error: BaseException) -> bool:
    """Tell whether a signal ended a run; its workers it may have ended at once, if they let it."""
    lost_workers = isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
    return isinstance(error, SIGTERMException) or (lost_workers and bool(_signums(trainer)))


def requeue_if_asked(trainer: Trainer) -> None:
    """Put the Slurm job that a signal stopped into the queue again, if it has to ask for that."""
    signums = _signums(trainer)
    if signums and trainer.is_global_zero:
        queue_again_after(signums[0])


def _signums(trainer: Trainer) -> list[int]:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return [x.signum for x in callbacks if isinstance(x, StopSignals) and x.signum is not None]
