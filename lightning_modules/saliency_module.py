"""Salient object detection: its loss, scores and maps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from PIL import Image
from torch import Tensor, nn

from lightning_modules.base_module import BaseModule
from lightning_modules.batch_statistics import enough_values
from lightning_modules.metrics import PROTOCOL, PerImageScores, SaliencyScores, quantise
from lightning_modules.runs.score import SALIENCY_SCORES
from mutualformer.errors import UserError
from mutualformer.losses import LOSSES

LossName = Literal["weighted_bce_iou", "bce"]


class SaliencyModule(BaseModule):
    """Train, score and apply a network for RGB-D salient object detection.

    Batches also hold `mask` `(B, 1, H, W)` in {0, 1}; those of evaluation `ground_truth`, a list of
    bool `(1, H0, W0)` masks at their original size.

    Args:
        network: maps (rgb, depth) to logits `(B, 1, H, W)`.
        loss: ``"weighted_bce_iou"`` (F3Net) or ``"bce"``.
        options: of :class:`BaseModule`.

    Raises:
        UserError: an unknown loss, or a number outside its range.

    Source of the defaults: assumptions; the paper publishes no schedule.
    """

    scores = SALIENCY_SCORES
    protocol = PROTOCOL

    def __init__(
        self, network: nn.Module, loss: LossName = "weighted_bce_iou", **options: Any
    ) -> None:
        if loss not in get_args(LossName):
            raise UserError(f"loss is {loss!r}, expected one of {', '.join(get_args(LossName))}")
        super().__init__(network, **options)
        self.loss = LOSSES[loss]

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Map `(B, 3, H, W)` and `(B, 1, H, W)` to logits `(B, 1, H, W)`."""
        with enough_values():
            output = self.network(rgb, depth)
        return self.check_output(output, (len(rgb), 1, *rgb.shape[-2:]))

    def compute_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Compare logits with masks."""
        return self.loss(self(batch["rgb"], batch["depth"]), batch["mask"])

    def new_metric(self) -> SaliencyScores:
        """Return all scores, but weighted F in a test only."""
        # Weighted F takes longer than all other scores together.
        return SaliencyScores(weighted=self.trainer.testing)

    def validation_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Score a batch; returns its saliency maps, and `per_image` with the scores of each."""
        output = self.predict_step(batch, 0)
        pairs: dict[str, list[tuple[str, Tensor, Tensor]]] = {}
        columns = (output["saliency"], batch["ground_truth"], batch["dataset"], batch["name"])
        for saliency, truth, dataset, name in zip(*columns, strict=True):
            prediction = quantise(saliency, truth.shape[-2:])
            pairs.setdefault(dataset, []).append((name, prediction, truth))
        parts = []
        for dataset, samples in pairs.items():
            names, predictions, truths = zip(*samples, strict=True)
            self.metric(dataset).update(predictions, truths)
            parts.append(self.metric(dataset).latest_per_image(dataset, names))
        return {**output, "per_image": PerImageScores.concatenate(parts)}

    def test_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Score a batch; see :meth:`validation_step`."""
        return self.validation_step(batch, batch_idx, dataloader_idx)

    def predict_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return `saliency` `(B, 1, H, W)`, probabilities in [0, 1]."""
        return {"saliency": self(batch["rgb"], batch["depth"]).float().sigmoid()}

    def pictures(self, batch: Mapping[str, Any], outputs: Any = None) -> dict[str, Tensor]:
        """Return RGB, depth, prediction and mask, as far as they are there."""
        pictures = super().pictures(batch, outputs)
        if outputs is not None:
            pictures["Prediction"] = outputs["saliency"]
        if "mask" in batch:
            pictures["Mask"] = batch["mask"]
        return pictures

    def prediction_image(self, outputs: Any, index: int, size: tuple[int, int]) -> Image.Image:
        """Return a greyscale image, which scores what the map in memory scores."""
        return Image.fromarray(quantise(outputs["saliency"][index], size)[0].cpu().numpy())

    def targets(self, batch: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return the masks at their original size."""
        return batch["ground_truth"]

    def regions(self, batch: Mapping[str, Any]) -> Tensor | None:
        """Return the salient regions."""
        return batch["mask"][:, 0] > 0.5 if "mask" in batch else None
