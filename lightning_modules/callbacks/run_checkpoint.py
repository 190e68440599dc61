"""Keep the best and the last checkpoint of a run."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from datamodules.files import remove_leftovers
from lightning_modules.base_module import BaseModule
from lightning_modules.lightning_internals import (
    ends_within_epoch,
    epoch_was_cut,
    forget_repeated_validation,
    forget_validation,
    gradients_wait_for_more,
    save_last_if_not_yet,
    saves_after_training,
)
from lightning_modules.runs.completion import Ending, write_ending
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import lower_is_better
from mutualformer.errors import UserError

HELD_OUT = "val/held_out"
UNSETTLED = f"{HELD_OUT}/first score of the module"


class RunCheckpoint(ModelCheckpoint):
    """Write `<run folder>/checkpoints/best.ckpt` and `last.ckpt`.

    The best one is chosen by a score on held-out training data, never on a test set. A run without
    validation data keeps only the last one.

    Args:
        monitor: name of the logged score that decides; by default the first of the module's scores
            on held-out training data. Lower is better for a loss, and for a score that says so.
        minutes: after so long without one, the last checkpoint is written within an epoch, too.

    Attributes:
        has_ended: whether the run has ended already, so that nothing is to be trained; whoever
            knows sets it.

    Raises:
        UserError: ``monitor`` names a score of a test set, or ``minutes`` is not positive.
    """

    def __init__(self, monitor: str | None = None, minutes: float = 10) -> None:
        if monitor is not None and monitor.startswith("test/"):
            raise UserError(
                f"checkpoint.monitor is {monitor!r}: a checkpoint must not be chosen on a test "
                "set; expected a score that starts with 'val/'"
            )
        if not minutes > 0:
            raise UserError(f"checkpoint.minutes is {minutes}, expected more than 0")
        super().__init__(
            monitor=monitor or UNSETTLED,
            filename="best",
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self.has_ended = False
        self._minutes = minutes
        self._saved_at = time.monotonic()

    @property
    def state_key(self) -> str:
        """Name its state in a checkpoint, the same with and without validation data."""
        return "RunCheckpoint"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both; Lightning writes the last one only when the best one changes."""
        super().on_validation_end(trainer, pl_module)
        if not saves_after_training(self, trainer):
            save_last_if_not_yet(self, trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Train nothing in a run that has ended."""
        if self.has_ended:
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """Write the last one where training ends within an epoch, and in a long one."""
        super().on_train_batch_end(trainer, *arguments)
        if ends_within_epoch(trainer) or self._is_time(trainer):
            save_last_if_not_yet(self, trainer)
            self._saved_at = time.monotonic()

    def on_train_epoch_start(self, *_: Any) -> None:
        """Count the minutes from here: the epoch before has been saved."""
        self._saved_at = time.monotonic()

    def _is_time(self, trainer: Trainer) -> bool:
        """Tell whether to save within the epoch, in all processes alike."""
        if gradients_wait_for_more(trainer) or not epoch_was_cut(trainer):
            return False
        is_late = time.monotonic() >= self._saved_at + 60 * self._minutes
        return trainer.strategy.reduce_boolean_decision(is_late, all=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last one after an epoch without validation."""
        if epoch_was_cut(trainer):  # as it is kept, it can go on where it ended
            return
        super().on_train_epoch_end(trainer, pl_module)
        save_last_if_not_yet(self, trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record that the training ended in good order, and why."""
        super().on_train_end(trainer, pl_module)
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            ending = Ending(_reason_of_end(trainer), trainer.global_step)
            write_ending(RunFolder(trainer.default_root_dir), ending)

    def setup(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, stage: str
    ) -> None:
        """Settle where to write, and whether there is anything to choose the best by."""
        self.dirpath = str(RunFolder(trainer.default_root_dir).checkpoints)
        scores = pl_module.scores
        if self.monitor == UNSETTLED:
            self.monitor = f"{HELD_OUT}/{scores[0].name}"
        if self.monitor is not None:
            lower = lower_is_better(self.monitor, scores)
            self.mode = "min" if lower else "max"
            self.kth_value = torch.tensor(torch.inf if lower else -torch.inf)
        datamodule = getattr(trainer, "datamodule", None)
        if stage == "fit" and datamodule is not None and not datamodule.val_dataloader():
            self.monitor = None
            self.save_top_k = 0
        if stage == "fit" and trainer.is_global_zero:
            remove_leftovers(Path(self.dirpath))
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score so far, also when the run folder was moved or is spelt otherwise.

        Lightning would forget it then, and the next score would replace the best checkpoint. It is
        forgotten where it is of another score, or of a run in another folder.
        """
        moved = {
            str(Path(self.dirpath) / Path(path).name): score  # type: ignore[arg-type]
            for path, score in state_dict["best_k_models"].items()
        }
        if state_dict["monitor"] == self.monitor and all(Path(path).exists() for path in moved):
            best = next(iter(moved), "")
            paths = {"best_model_path": best, "kth_best_model_path": best}
            state_dict = state_dict | paths | {"best_k_models": moved, "dirpath": self.dirpath}
            super().load_state_dict(state_dict)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let the patience that is typed now count, which EarlyStopping keeps in its state."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            state = checkpoint.get("callbacks", {}).get(callback.state_key)
            if isinstance(callback, EarlyStopping) and state:
                state["patience"] = callback.patience

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        """Forget a validation that was given up, and is repeated now."""
        forget_repeated_validation(trainer)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep what was trained when training stops between two steps, or in a validation.

        So it does for a signal (`StopSignals`), a file that is gone, or a process that loads data
        and was killed. Within a step the state is no good one to continue from; the last
        checkpoint then stays as it is.
        """
        stopped = isinstance(exception, SIGTERMException)
        # Other processes know nothing of other exceptions, and would have to take part.
        alone = isinstance(exception, Exception) and trainer.world_size == 1
        if not (stopped or alone) or not _is_between_steps(trainer):
            return
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.validating:
            callbacks = trainer.callbacks  # type: ignore[attr-defined]
            if any(isinstance(callback, WeightAveraging) for callback in callbacks):
                return  # the average stands in the place of the weights to continue from
            forget_validation(trainer)
        last = RunFolder(trainer.default_root_dir).last_checkpoint
        # What stopped the run is what the user has to know, not that a full disk is still full.
        with suppress(OSError, ValueError):
            trainer.save_checkpoint(last)
            by = "by a signal" if stopped else f"in epoch {trainer.current_epoch}"
            rank_zero_info(f"Stopped {by}. {last} is written; the same command continues.")


def held_out_score(checkpoint: Mapping[str, Any], path: str | Path) -> dict[str, float]:
    """Return the score on held-out data that a best checkpoint was kept for, by its logged name.

    The last checkpoint of a run, and one that no `RunCheckpoint` wrote, has none: nothing.
    """
    state = (checkpoint.get("callbacks") or {}).get("RunCheckpoint") or {}
    kept = state.get("best_k_models") or {}
    scores = {Path(saved).name: float(score) for saved, score in kept.items()}
    score = scores.get(Path(path).name, math.nan)
    return {state["monitor"]: score} if math.isfinite(score) else {}


def _reason_of_end(trainer: Trainer) -> str:
    if trainer.global_step == trainer.max_steps:
        return f"max_steps {trainer.max_steps} was reached"
    if trainer.current_epoch == trainer.max_epochs:
        return f"max_epochs {trainer.max_epochs} was reached"
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    left = [x.time_remaining() for x in callbacks if isinstance(x, Timer)]
    if any(seconds is not None and seconds <= 0 for seconds in left):
        return "max_time was reached"
    stopped = any(isinstance(x, EarlyStopping) and x.stopped_epoch for x in callbacks)
    return f"{'EarlyStopping' if stopped else 'a callback'} stopped it"


def _is_between_steps(trainer: Trainer) -> bool:
    """Tell whether a step of the optimiser was completed, and no further one has begun."""
    if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
        return False
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    return 0 < batches.ready == batches.completed and not gradients_wait_for_more(trainer)
