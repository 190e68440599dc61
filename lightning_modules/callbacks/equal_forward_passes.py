"""Keep the processes of a sharded model in step when they evaluate unequally many batches."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy


class EqualForwardPasses(Callback):
    """Repeat a process's last batch, unscored, until all have run equally many forward passes.

    A sharded model gathers its weights from all processes in every forward pass, and evaluation
    gives each image to one process only, so that some may have a batch more than others. Other
    strategies are left alone.
    """

    def __init__(self) -> None:
        self._num_batches = 0
        self._last_batch: dict[str, Any] | None = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count anew."""
        self._num_batches = 0

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count a batch and keep it."""
        if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy):
            self._num_batches += 1
            self._last_batch = batch

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Catch up with the process that had the most batches."""
        if self._last_batch is None:
            return
        count = torch.tensor(self._num_batches, device=trainer.strategy.root_device)
        most = int(trainer.strategy.reduce(count, reduce_op="max"))
        for _ in range(most - self._num_batches):
            trainer.strategy.predict_step(self._last_batch, 0)
        self._last_batch = None

    on_test_epoch_end = on_predict_epoch_end = on_validation_epoch_end
