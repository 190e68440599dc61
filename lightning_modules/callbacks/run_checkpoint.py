"""Keep the best and the last checkpoint of a run."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException


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
            raise ValueError(
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
        super().setup(trainer, pl_module, stage)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Keep what was trained when SIGTERM (a preemption) stops training between two batches.

        Within a step, or in a validation, the state is no good one to continue from; the last
        checkpoint then stays as it is.
        """
        if isinstance(exception, SIGTERMException) and trainer.training:
            last = Path(self.dirpath) / "last.ckpt"  # type: ignore[arg-type]
            trainer.save_checkpoint(last)
            rank_zero_info(f"Stopped by SIGTERM. {last} is written; the same command continues.")
