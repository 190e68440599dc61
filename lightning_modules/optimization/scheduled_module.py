"""A module with one optimiser and a schedule by steps, which a continued training may change."""

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import LBFGS, Optimizer, SparseAdam
from torch.utils._pytree import tree_map_only

from lightning_modules.optimization.continuation import KEY, Start, check_optimizer
from lightning_modules.optimization.schedule import (
    SchedulerFactory,
    accumulates,
    build_scheduler,
    number_of_steps,
    number_of_steps_continued,
)
from mutualformer.errors import UserError, refused_setting

OptimizerFactory = Callable[[Iterable], Optimizer]


class ScheduledModule(LightningModule):
    """Train the parameters of a network; the attributes are arguments of `BaseModule`."""

    network: nn.Module
    optimizer_factory: OptimizerFactory
    scheduler_factory: SchedulerFactory
    warmup_steps: int
    encoder_learning_rate_factor: float
    non_finite_loss: str

    _start: Start | None = None
    # Of the checkpoint that was loaded, where Lightning will read the schedule's state.
    _stored_settings: Mapping[str, str] | None = None
    _stored_schedules: list[Any] | None = None
    _num_averaged = 0

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimiser and schedule."""
        optimizer = self.build_optimizer()
        num_steps = number_of_steps(self.trainer)
        if isinstance(optimizer, LBFGS) and (
            accumulates(self.trainer)
            or self.trainer.world_size > 1
            or self.non_finite_loss == "skip"
        ):
            raise UserError(
                "model.optimizer is LBFGS, which computes the loss of a batch many times, expected "
                "one process, no accumulated batches and no skipped ones (non_finite_loss): change "
                "those, or the optimiser"
            )
        self._start = Start(
            optimizer,
            lambda steps: build_scheduler(
                self.scheduler_factory, optimizer, steps, self.warmup_steps
            ),
            num_steps,
        )
        self._leave_out_other_schedule()
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._start.scheduler, "interval": "step"},
        }

    def build_optimizer(self) -> Optimizer:
        """Return a new optimiser, with the encoders, if known, in a group of their own.

        Raises:
            UserError: it cannot be used, or refuses its options.
        """
        of_encoders = getattr(self.network, "encoder_parameters", None)
        encoder = [p for p in of_encoders() if p.requires_grad] if of_encoders else []
        in_encoder = {id(parameter) for parameter in encoder}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in in_encoder]
        groups = [{"params": others}, *([{"params": encoder}] if of_encoders else [])]
        factor = self.encoder_learning_rate_factor
        with refused_setting("model.optimizer", ValueError, TypeError):
            try:
                optimizer = self.optimizer_factory(groups)
            except ValueError as error:  # LBFGS has one group only
                if len(groups) == 1 or "parameter groups" not in str(error):
                    raise
                if factor != 1:
                    raise UserError(
                        f"model.optimizer: {error}, so that the encoders have no rate of their "
                        "own: give --model.encoder_learning_rate_factor=1"
                    ) from error
                optimizer = self.optimizer_factory([*others, *encoder])
        if isinstance(optimizer, SparseAdam):
            raise UserError(
                "model.optimizer is SparseAdam, whose gradients are sparse, and these are not: "
                "give torch.optim.Adam"
            )
        if "lr" not in optimizer.param_groups[0]:
            raise UserError(
                f"model.optimizer is {type(optimizer).__qualname__}, which has no lr, expected an "
                "optimiser whose learning rate can be scheduled"
            )
        if len(optimizer.param_groups) > 1:
            optimizer.param_groups[1]["lr"] *= factor
        return optimizer

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step it; what it refuses then, as OneCycleLR a step too many, are its settings."""
        with refused_setting("model.scheduler", ValueError):
            super().lr_scheduler_step(scheduler, metric)

    def check_optimization(self, has_end: bool, checkpoint: Mapping[str, Any] | None) -> None:
        """Refuse optimiser and schedule before anything is written.

        Args:
            has_end: whether the training has a number of epochs or steps.
            checkpoint: that it is to continue; None if there is none, or it is sharded.

        Raises:
            UserError: one of them cannot be used, or the optimiser is of another class than that of
                the checkpoint.
        """
        if type(self).configure_optimizers is not ScheduledModule.configure_optimizers:
            return  # a task may build others
        optimizer = self.build_optimizer()
        check_optimizer((checkpoint or {}).get(KEY), optimizer)
        build_scheduler(self.scheduler_factory, optimizer, 1000 if has_end else None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember what its optimiser and schedule were built from."""
        self._stored_settings = checkpoint.get(KEY)
        self._stored_schedules = checkpoint.get("lr_schedulers")
        self._leave_out_other_schedule()  # FSDP loads a checkpoint when all is built

    def _leave_out_other_schedule(self) -> None:
        """Replace the state of a schedule in a checkpoint, which may be of another class."""
        if self._start and self._stored_schedules and self._start.differs(self._stored_settings):
            self._stored_schedules[:] = [copy.deepcopy(self._start.scheduler.state_dict())]

    def on_train_start(self) -> None:
        """Let the settings of a continued training count from here on.

        Raises:
            UserError: the optimiser is of another class than that of the checkpoint.
        """
        if not self.trainer.ckpt_path or self._start is None:
            return
        check_optimizer(self._stored_settings, self.optimizers(use_pl_optimizer=False))
        if not self._start.differs(self._stored_settings):
            return
        step, num_steps = self.trainer.global_step, number_of_steps_continued(self.trainer)
        differing = self._start.take_over(self._stored_settings, step, num_steps)
        (schedule,) = self.trainer.lr_scheduler_configs
        schedule.scheduler = self._start.scheduler
        if differing:
            rank_zero_info(
                f"Continuing from step {step} with other settings than the checkpoint's; the "
                f"optimiser keeps its state, the schedule is that of now: {'; '.join(differing)}"
            )

    # Lightning divides the gradients of every batch by `accumulate_grad_batches`, also where fewer
    # are accumulated: in the last ones of an epoch, and where a batch was skipped.

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Begin to count the batches that one step is the average of."""
        self._num_averaged = 0

    def on_after_backward(self) -> None:
        """Count a batch."""
        self._num_averaged += 1

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Average over the batches that there were."""
        planned = self.trainer.accumulate_grad_batches
        if self.trainer.strategy.handles_gradient_accumulation:
            return
        if 0 < self._num_averaged < planned:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(planned / self._num_averaged)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip gradients; under FSDP by the norm over all shards, which Lightning refuses to do."""
        model = self.trainer.strategy.model
        by_norm = gradient_clip_algorithm in (None, "norm")
        if isinstance(model, FullyShardedDataParallel) and gradient_clip_val and by_norm:
            model.clip_grad_norm_(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what optimiser and schedule were built from, and tensors each by itself.

        Under FSDP the optimiser's state is views of one flat tensor, and loading under FSDP reads
        the whole of it for each.
        """
        if self._start is not None:
            checkpoint[KEY] = self._start.settings
        checkpoint["optimizer_states"] = tree_map_only(
            Tensor, _own_memory, checkpoint.get("optimizer_states", [])
        )


def _own_memory(tensor: Tensor) -> Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()
