"""Keep the best and the last checkpoint of a run."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from datamodules.files import remove_leftovers
from mutualformer.errors import UserError


class RunCheckpoint(ModelCheckpoint):
    """Write `<run folder>/checkpoints/best.ckpt` and `last.ckpt`.

    The best one is chosen by a score on held-out training data, never on a test set. A run without
    validation data keeps only the last one.

    Args:
        monitor: name of the score that decides, higher is better.

    Raises:
        ValueError: ``monitor`` names a score of a test set.
    """

    def __init__(self, monitor: str = "val/held_out/s_measure") -> None:
        if monitor.startswith("test/"):
            raise UserError(
                f"checkpoint.monitor is {monitor!r}: a checkpoint must not be chosen on a test "
                "set; expected a score that starts with 'val/'"
            )
        super().__init__(
            monitor=monitor,
            mode="max",
            filename="best",
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """Name its state in a checkpoint, the same with and without validation data."""
        return "RunCheckpoint"

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both; Lightning writes the last one only when the best one changes."""
        super().on_validation_end(trainer, pl_module)
        if not self._should_save_on_train_epoch_end(trainer):
            self._save_last_if_not_yet(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last one in a run without validation."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._should_save_on_train_epoch_end(trainer):
            self._save_last_if_not_yet(trainer)

    def _save_last_if_not_yet(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Settle where to write, and whether there is anything to choose the best by."""
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        datamodule = getattr(trainer, "datamodule", None)
        if stage == "fit" and datamodule is not None and not datamodule.val_dataloader():
            self.monitor = None
            self.save_top_k = 0
        if stage == "fit" and trainer.is_global_zero:
            remove_leftovers(Path(self.dirpath))
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best score so far, also when the run folder was moved or is spelt otherwise.

        Lightning would forget it then, and the next score would replace the best checkpoint.
        """
        moved = {
            str(Path(self.dirpath) / Path(path).name): score  # type: ignore[arg-type]
            for path, score in state_dict["best_k_models"].items()
        }
        if all(Path(path).exists() for path in moved):
            best = next(iter(moved), "")
            paths = {"best_model_path": best, "kth_best_model_path": best}
            state_dict = state_dict | paths | {"best_k_models": moved, "dirpath": self.dirpath}
        super().load_state_dict(state_dict)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count a validation that was given up, and is repeated now, as none."""
        trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep what was trained when training stops between two steps, or in a validation.

        So it does for a signal (`StopSignals`), a file that is gone, or a process that loads data
        and was killed. Within a step the state is no good one to continue from; the last
        checkpoint then stays as it is.
        """
        stopped = isinstance(exception, SIGTERMException)
        # Of other exceptions the other processes know nothing, and they would have to take part.
        alone = isinstance(exception, Exception) and trainer.world_size == 1
        if not (stopped or alone) or not _is_between_steps(trainer):
            return
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.validating:
            _forget_validation(trainer)
        last = Path(self.dirpath) / "last.ckpt"  # type: ignore[arg-type]
        # What stopped the run is what the user has to know, not that a full disk is still full.
        with suppress(OSError, ValueError):
            trainer.save_checkpoint(last)
            by = "by a signal" if stopped else f"in epoch {trainer.current_epoch}"
            rank_zero_info(f"Stopped {by}. {last} is written; the same command continues.")


def _is_between_steps(trainer: Trainer) -> bool:
    """Tell whether a step of the optimiser was completed, and no further one has begun."""
    if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
        return False
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    return 0 < batches.ready == batches.completed and not trainer.fit_loop._should_accumulate()


def _forget_validation(trainer: Trainer) -> None:
    """Make Lightning's counters say that the validation has begun, and nothing of it is done."""
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    progress.total.reset()
    progress.current.reset()
    progress.increment_ready()
    progress.increment_started()
