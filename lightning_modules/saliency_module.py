"""Wire a saliency network to its loss, optimiser and scores."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from torch.utils._pytree import tree_map_only

from datamodules.files import write_atomically
from lightning_modules.metrics import PerImageScores, SaliencyScores, quantise
from lightning_modules.runs.settings import flatten
from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError
from mutualformer.losses import LOSSES
from mutualformer.network.pretrained import describe_mismatch

LossName = Literal["weighted_bce_iou", "bce"]
OptimizerFactory = Callable[[Iterable], Optimizer]
SchedulerFactory = Callable[[Optimizer, int], LRScheduler]


class SaliencyModule(LightningModule):
    """Train, score and apply a network for RGB-D salient object detection.

    Batches are dicts with `rgb` `(B, 3, H, W)` and `depth` `(B, 1, H, W)` in [0, 1], `mask`
    `(B, 1, H, W)` in {0, 1}, and lists `name`, `dataset`, `original_size`; evaluation batches also
    hold `ground_truth`, a list of bool `(1, H0, W0)` masks at their original size.

    Args:
        network: maps (rgb, depth) to logits `(B, 1, H, W)`.
        loss: ``"weighted_bce_iou"`` (F3Net) or ``"bce"``.
        optimizer: called with the parameter groups.
        scheduler: called with the optimiser and the number of steps that it is to span, so that
            `torch.optim.lr_scheduler.CosineAnnealingLR` or `PolynomialLR` fit as they are. It is
            stepped after every batch.
        warmup_steps: steps over which the learning rate first rises linearly from 1 % to its value.
        encoder_learning_rate_factor: learning rate of the encoders as a multiple of the others'.
        non_finite_loss: what to do when the loss of a batch is NaN or infinite: ``"stop"`` before
            it reaches the weights, or ``"skip"`` the batch, in all processes alike. Either way the
            batch is written to ``non_finite_batch.pt`` in the run folder.

    Raises:
        ValueError: an unknown loss, or a number outside its range.

    Source of the defaults: assumptions; the paper publishes no schedule.
    """

    def __init__(
        self,
        network: MutualFormerNetwork,
        loss: LossName = "weighted_bce_iou",
        optimizer: OptimizerFactory = AdamW,
        scheduler: SchedulerFactory = CosineAnnealingLR,
        warmup_steps: int = 0,
        encoder_learning_rate_factor: float = 0.1,
        non_finite_loss: Literal["stop", "skip"] = "stop",
    ) -> None:
        super().__init__()
        if loss not in get_args(LossName):
            raise UserError(f"loss is {loss!r}, expected one of {', '.join(get_args(LossName))}")
        if warmup_steps < 0:
            raise UserError(f"warmup_steps is {warmup_steps}, expected an integer >= 0")
        if encoder_learning_rate_factor < 0:
            raise UserError(
                f"encoder_learning_rate_factor is {encoder_learning_rate_factor}, expected >= 0"
            )
        self.save_hyperparameters()
        self.network = network
        self.loss = LOSSES[loss]
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.warmup_steps = warmup_steps
        self.encoder_learning_rate_factor = encoder_learning_rate_factor
        self.non_finite_loss = non_finite_loss
        self._scores: dict[str, SaliencyScores] = {}

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Map `(B, 3, H, W)` and `(B, 1, H, W)` to logits `(B, 1, H, W)`."""
        return self.network(rgb, depth)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Return the loss of a batch; None if the batch is skipped.

        Raises:
            ValueError: the loss is not finite, and training is to stop then; names the images.
        """
        logits = self(batch["rgb"], batch["depth"])
        loss = self.loss(logits, batch["mask"])
        if not self.trainer.strategy.reduce_boolean_decision(bool(loss.isfinite())):
            self._report_non_finite(loss, batch, batch_idx)
            return None
        # Averaged over processes: the curve must not depend on how many there are.
        self.log("train/loss", loss, prog_bar=True, batch_size=len(logits), sync_dist=True)
        return loss

    def _report_non_finite(self, loss: Tensor, batch: Mapping[str, Any], batch_idx: int) -> None:
        where = f"epoch {self.current_epoch}, batch {batch_idx}"
        if loss.isfinite():
            message = f"the loss of another process is not finite in {where}"
        else:
            path = Path(self.trainer.default_root_dir) / "non_finite_batch.pt"
            write_atomically(path, lambda file: torch.save(dict(batch), file))
            names = ", ".join(map("/".join, zip(batch["dataset"], batch["name"], strict=True)))
            message = f"the loss is {loss.item()} in {where}, expected a number: {names} ({path})"
        if self.non_finite_loss == "stop":
            raise UserError(
                f"{message}. No weight has changed by it. Look at these images, lower the learning "
                "rate, or give --model.non_finite_loss=skip; the same command continues from the "
                "last checkpoint"
            )
        warnings.warn(f"{message}: the batch is skipped", stacklevel=2)

    def validation_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Score a batch; returns its saliency maps."""
        # Weighted F takes longer than all other scores together: test has time for it.
        output, _ = self._evaluate(batch, weighted=False)
        return output

    def test_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Score a batch; returns its saliency maps, and `per_image` with the scores of each."""
        output, parts = self._evaluate(batch, weighted=True)
        return {**output, "per_image": PerImageScores.concatenate(parts)}

    def predict_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return `saliency` `(B, 1, H, W)`, probabilities in [0, 1]."""
        return {"saliency": self(batch["rgb"], batch["depth"]).float().sigmoid()}

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of an evaluation that was interrupted."""
        self._scores.clear()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Log `val/<dataset>/<score>`."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log `test/<dataset>/<score>`."""
        self._log_scores("test")

    def _evaluate(
        self, batch: Mapping[str, Any], weighted: bool
    ) -> tuple[dict[str, Tensor], list[PerImageScores]]:
        output = self.predict_step(batch, 0)
        pairs: dict[str, list[tuple[str, Tensor, Tensor]]] = {}
        for saliency, truth, dataset, name in zip(
            output["saliency"],
            batch["ground_truth"],
            batch["dataset"],
            batch["name"],
            strict=True,
        ):
            prediction = quantise(saliency, truth.shape[-2:])
            pairs.setdefault(dataset, []).append((name, prediction, truth))
        parts = []
        for dataset, samples in pairs.items():
            if dataset not in self._scores:
                self._scores[dataset] = SaliencyScores(weighted).to(self.device)
            names, predictions, truths = zip(*samples, strict=True)
            self._scores[dataset].update(predictions, truths)
            parts.append(self._scores[dataset].latest_per_image(dataset, names))
        return output, parts

    def _log_scores(self, stage: str) -> None:
        # Sorted, because every process must reduce the data sets in the same order.
        for dataset, scores in sorted(self._scores.items()):
            self.log_dict({f"{stage}/{dataset}/{name}": x for name, x in scores.compute().items()})
        self._scores.clear()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimiser and schedule, with the encoders in a group of their own."""
        encoder = [p for p in self.network.encoder_parameters() if p.requires_grad]
        in_encoder = {id(parameter) for parameter in encoder}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in in_encoder]
        optimizer = self.optimizer_factory([{"params": others}, {"params": encoder}])
        optimizer.param_groups[1]["lr"] *= self.encoder_learning_rate_factor

        num_steps = int(self.trainer.estimated_stepping_batches)
        warmup_steps = min(self.warmup_steps, num_steps - 1)
        scheduler = self.scheduler_factory(optimizer, num_steps - warmup_steps)
        if warmup_steps > 0:
            warmup = LinearLR(optimizer, start_factor=0.01, total_iters=warmup_steps)
            scheduler = SequentialLR(optimizer, [warmup, scheduler], milestones=[warmup_steps])
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

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
        """Separate tensors that are parts of a larger one.

        Under FSDP the optimiser's state is views of one flat tensor, and loading under FSDP reads
        the whole of it for each.
        """
        checkpoint["optimizer_states"] = tree_map_only(
            Tensor, _own_memory, checkpoint.get("optimizer_states", [])
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another architecture before any of it is loaded.

        Raises:
            ValueError: parameters are missing, unknown or of another shape; says which.
        """
        if "state_dict" not in checkpoint:  # FSDP has loaded it, and allows no mismatch
            return
        mismatch = describe_mismatch(checkpoint["state_dict"], self.state_dict())
        if mismatch:
            raise UserError(
                f"the checkpoint is of another architecture: of its parameters, {mismatch}"
                f"{_differing_settings(checkpoint, dict(self.hparams))}. "
                "Give the config.yaml that was saved beside the checkpoint"
            )


def _own_memory(tensor: Tensor) -> Tensor:
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _differing_settings(checkpoint: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Name the settings of the network that differ, where both sides are known."""
    specs = [x.get("network") for x in (checkpoint.get("hyper_parameters", {}), own)]
    # Without the command line there is a module in its place.
    there, here = (flatten(spec) if isinstance(spec, Mapping) else {} for spec in specs)
    differing = [
        f"{name} ({there[name]} there, {here[name]} here)"
        for name in here
        # What the encoders were initialised with is not their architecture.
        if name in there and name != "encoder_weights" and there[name] != here[name]
    ]
    return f". Settings that differ: {'; '.join(differing)}" if differing else ""
