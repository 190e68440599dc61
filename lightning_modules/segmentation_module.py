"""Semantic segmentation: its loss, scores and class maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import interpolate

from datamodules.label_map import LabelMap
from lightning_modules.base_module import BaseModule
from lightning_modules.batch_statistics import enough_values
from lightning_modules.evaluation.view_averaging import ViewAveraging
from lightning_modules.metrics.confusion_records import ConfusionRecords
from lightning_modules.metrics.confusion_scores import (
    CONFUSION_PROTOCOL,
    ConfusionScores,
    check_classes,
    describe_scores,
)
from lightning_modules.report.class_overlay import colour_classes, draw_overlay
from lightning_modules.runs.score import SEGMENTATION_SCORES
from mutualformer.check_options import is_number
from mutualformer.errors import UserError
from mutualformer.losses import segmentation_loss


class SegmentationModule(BaseModule):
    """Train, score and apply a network that tells the class of every pixel.

    Batches also hold `label` `(B, H, W)`, uint8 classes with 255 where a pixel does not count;
    those of evaluation `ground_truth`, a list of such labels `(H0, W0)` at their original size. The
    data module's `label_map` names the classes; it must have as many as the network.

    Args:
        network: maps (rgb, depth) to logits `(B, K, H, W)`.
        class_weights: weight of each class in the loss, K numbers >= 0; equal ones by default.
        ohem_threshold: in (0, 1): train on the pixels alone whose class has a smaller probability
            (online hard example mining, see :func:`.segmentation_loss`); None for all pixels.
        test_scales: scales of the network's images in `test` and `predict`, over which class
            probabilities are averaged; validation sees them whole, at scale 1.
        test_flip: whether they are also seen mirrored there.
        test_window: height and width of a window that slides over them there.
        test_window_stride: by how much of its sides the window moves on.
        options: of :class:`BaseModule`.

    Raises:
        UserError: a number outside its range.

    Source of the defaults: assumptions; the paper does not test on segmentation.
    """

    scores = SEGMENTATION_SCORES

    def __init__(
        self,
        network: nn.Module,
        class_weights: list[float] | None = None,
        ohem_threshold: float | None = None,
        test_scales: Sequence[float] = (1.0,),
        test_flip: bool = False,
        test_window: tuple[int, int] | None = None,
        test_window_stride: float = 2 / 3,
        **options: Any,
    ) -> None:
        if class_weights is not None and not (
            all(is_number(weight) and weight >= 0 for weight in class_weights)
            and any(class_weights)
        ):
            raise UserError(f"class_weights is {class_weights}, expected numbers >= 0, not all 0")
        if ohem_threshold is not None and not 0 < ohem_threshold < 1:
            raise UserError(
                f"ohem_threshold is {ohem_threshold}, expected a probability in (0, 1), or null to "
                "train on all pixels"
            )
        super().__init__(network, **options)
        self.ohem_threshold = ohem_threshold
        self.views = ViewAveraging(test_scales, test_flip, test_window, test_window_stride)
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.label_map = _unnamed(getattr(network, "num_classes", None) or 2)

    @property
    def protocol(self) -> str:  # type: ignore[override]
        """How scores of `test` come about, test-time options included."""
        size = getattr(getattr(self.trainer, "datamodule", None), "image_size", None)
        seen = "" if size is None else f" images of {size[0]} × {size[1]} pixels,"
        return (
            f"{CONFUSION_PROTOCOL}; the network sees{seen} {self.views.describe()}; probabilities "
            "are resized to the label bilinearly"
        )

    def setup(self, stage: str) -> None:
        """Take over the classes of the data, if no command did."""
        self.prepare_for(getattr(self.trainer, "datamodule", None))

    def prepare_for(self, data: Any) -> None:
        """Take over the classes of the data.

        Raises:
            UserError: the network, or the weights of the loss, have another number of them.
        """
        found = getattr(data, "label_map", None)
        if isinstance(found, LabelMap):
            names = {"network": type(self.network).__name__, "data": type(data).__name__}
            check_classes(found.classes, getattr(self.network, "num_classes", None), names)
            self.label_map = found
        self.scores = describe_scores(self.label_map.classes)
        weights = self.class_weights
        if isinstance(weights, Tensor) and len(weights) != self.label_map.num_classes:
            raise UserError(
                f"class_weights holds {len(weights)} numbers, expected one for each of the "
                f"{self.label_map.num_classes} classes: {', '.join(self.label_map.classes)}"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the classes are, for who uses the network without the data."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["label_map"] = self.label_map.as_mapping()

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Map `(B, 3, H, W)` and `(B, C, H, W)` to logits `(B, K, H, W)`."""
        with enough_values():
            output = self.network(rgb, depth)
        return self.check_output(output, (len(rgb), self.label_map.num_classes, *rgb.shape[-2:]))

    def compute_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Compare logits with labels."""
        logits = self(batch["rgb"], batch["depth"])
        weights = self.class_weights if isinstance(self.class_weights, Tensor) else None
        return segmentation_loss(logits, batch["label"].long(), weights, self.ohem_threshold)

    def new_metric(self) -> ConfusionScores:
        """Return all scores."""
        return ConfusionScores(self.label_map.classes)

    def validation_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Score a batch seen whole; returns what :meth:`test_step` does."""
        return self._score(batch, ViewAveraging())

    def test_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Any]:
        """Score a batch; returns its `probabilities`, and `per_image` with the counts of each."""
        return self._score(batch, self.views)

    def predict_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return `probabilities` of the classes, `(B, K, H, W)`."""
        return {"probabilities": self.views(self, batch["rgb"], batch["depth"])}

    def _score(self, batch: Mapping[str, Any], views: ViewAveraging) -> dict[str, Any]:
        output = {"probabilities": views(self, batch["rgb"], batch["depth"])}
        found: dict[str, tuple[list[str], list[Tensor]]] = {}
        for index, dataset in enumerate(batch["dataset"]):
            label = batch["ground_truth"][index]
            prediction = classes_at(output["probabilities"][index], label.shape[-2:])
            self.metric(dataset).update(prediction, label)
            names, confusions = found.setdefault(dataset, ([], []))
            names.append(batch["name"][index])
            confusions.append(self.metric(dataset).latest)
        classes = self.label_map.classes
        parts = [ConfusionRecords.from_confusions(x, *own, classes) for x, own in found.items()]
        return {**output, "per_image": parts[0].concatenate(parts)}

    def pictures(self, batch: Mapping[str, Any], outputs: Any = None) -> dict[str, Tensor]:
        """Return RGB, second modality, predicted and labelled classes in colour."""
        pictures = super().pictures(batch, outputs)
        if outputs is not None:
            predicted = outputs["probabilities"].argmax(1)
            pictures["Prediction"] = colour_classes(predicted, self.label_map)
        if "label" in batch:
            pictures["Label"] = colour_classes(batch["label"], self.label_map)
        return pictures

    def prediction_image(self, outputs: Any, index: int, size: tuple[int, int]) -> Image.Image:
        """Return an index image with the values of the data set's labels."""
        classes = classes_at(outputs["probabilities"][index], size).cpu()
        values = classes + self.label_map.offset
        wide = self.label_map.offset + self.label_map.num_classes > 256
        return Image.fromarray(values.numpy().astype("uint16" if wide else "uint8"))

    def prediction_overlay(
        self, batch: Mapping[str, Any], outputs: Any, index: int, size: tuple[int, int]
    ) -> Image.Image:
        """Return the classes in colour over the image, with a legend below."""
        classes = classes_at(outputs["probabilities"][index], size).cpu()
        shown = batch[self.modalities[0]][index]
        return draw_overlay(shown, classes, self.label_map)

    def targets(self, batch: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return the labels at their original size."""
        return batch["ground_truth"]

    def regions(self, batch: Mapping[str, Any]) -> Tensor | None:
        """Return the region of the smallest class in each label, of which affinity maps ask."""
        if "label" not in batch:
            return None
        found = []
        for label in batch["label"].long():
            counts = label.flatten().bincount(minlength=256)[: self.label_map.num_classes]
            rarest = counts.float().masked_fill(counts == 0, torch.inf).argmin()
            found.append(label == rarest)
        return torch.stack(found)


def classes_at(probabilities: Tensor, size: Sequence[int]) -> Tensor:
    """Return the most probable class at another size, int64 `size`, of `(K, H, W)`.

    >>> classes_at(torch.tensor([[[0.9, 0.2]], [[0.1, 0.8]]]), (1, 4)).tolist()
    [[0, 0, 1, 1]]
    """
    if tuple(probabilities.shape[-2:]) != tuple(size):
        probabilities = interpolate(
            probabilities[None], size=tuple(size), mode="bilinear", align_corners=False
        )[0]
    return probabilities.argmax(0)


def _unnamed(num_classes: int) -> LabelMap:
    """Return classes called by their numbers, for loaders of the user's that name none."""
    return LabelMap(tuple(f"class {number}" for number in range(max(2, num_classes))))
