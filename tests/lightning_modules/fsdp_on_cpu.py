"""FSDP without a GPU, for test_two_processes.py; Lightning and torch offer it on GPUs only."""

from typing import Any

import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch.distributed.fsdp import FullyShardedDataParallel

_init = FullyShardedDataParallel.__init__


def _init_on_cpu(self: FullyShardedDataParallel, *arguments: Any, **options: Any) -> None:
    _init(self, *arguments, **options | {"device_id": torch.device("cpu")})


class FSDPOnCPU(FSDPStrategy):
    """Named on the command line as --trainer.strategy=fsdp_on_cpu.FSDPOnCPU."""

    def setup(self, trainer: Any) -> None:
        FullyShardedDataParallel.__init__ = _init_on_cpu  # type: ignore[method-assign]
        super().setup(trainer)
