"""Make what a training step draws depend on its number alone."""

import os
import random
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class StepSeed(Callback):
    """Seed torch's generators before every training step, from seed, epoch, batch and process.

    Dropout is then the same whether a run reached the step at once or was resumed before it, so
    that no state of a generator needs to be kept, on any device or process.
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generators of this process."""
        run_seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        numbers = (run_seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(random.Random(str(numbers)).getrandbits(63))
