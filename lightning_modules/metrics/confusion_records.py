"""The confusion matrix of every image, as far as scores need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_modules.metrics.confusion_scores import (
    CONFUSION_PROTOCOL,
    describe_scores,
    scores_of_counts,
)
from lightning_modules.metrics.image_records import ImageRecords, OfShares
from lightning_modules.runs.score import SEGMENTATION_SCORES, Score

_COUNTS = ("correct", "of_label", "of_prediction")


@dataclass(frozen=True, eq=False)
class ConfusionRecords(ImageRecords):
    """Hold diagonal, row sums and column sums of the confusion matrices of N images.

    Attributes:
        counts: ``correct``, ``of_label`` and ``of_prediction``, int64 ``(N, K)``, see
            :func:`scores_of_counts`.
        classes: names of the K classes.
    """

    protocol_name = "confusion-matrix"
    protocol = CONFUSION_PROTOCOL
    averages = ()
    truth_counts = ("of_label",)

    @property
    def descriptions(self) -> tuple[Score, ...]:
        """The scores of semantic segmentation."""
        return describe_scores(self.classes)

    @classmethod
    def count_widths(cls, num_classes: int) -> dict[str, int]:
        """Return the number of classes for each."""
        return dict.fromkeys(_COUNTS, num_classes)

    @classmethod
    def from_confusions(
        cls,
        dataset: str,
        names: Sequence[str],
        confusions: Sequence[Tensor],
        classes: Sequence[str],
    ) -> ConfusionRecords:
        """Take over the matrices `(K, K)` of images of one data set."""
        stacked = torch.stack(list(confusions)).cpu()
        sums = (stacked.diagonal(dim1=1, dim2=2).clone(), stacked.sum(2), stacked.sum(1))
        counts = dict(zip(_COUNTS, sums, strict=True))
        return cls([dataset] * len(names), list(names), {}, counts, tuple(classes))

    @property
    def overview(self) -> tuple[Score, ...]:
        """All but the IoU of each class."""
        return SEGMENTATION_SCORES

    def scores(self) -> dict[str, Tensor]:
        """Return the scores of the sum of all matrices."""
        correct, of_label, of_prediction = (x.sum(0) for x in self._counts())
        return scores_of_counts(correct, of_label, of_prediction, self.classes)

    def image_scores(self) -> dict[str, Tensor]:
        """Return pixel accuracy and mIoU of each image alone.

        Their averages are not the scores of the data set. Where no pixel counts, they are NaN.
        """
        correct, of_label, of_prediction = self._counts()
        scores = scores_of_counts(correct, of_label, of_prediction, self.classes)
        return {x: scores[x] for x in ("pixel_accuracy", "miou")}

    def weighted_scores(self) -> OfShares:
        """Sum the matrices by the images' shares, then compute the scores of the sum."""
        correct, of_label, of_prediction = self._counts()
        return lambda shares: scores_of_counts(
            shares @ correct, shares @ of_label, shares @ of_prediction, self.classes
        )

    def _counts(self) -> tuple[Tensor, Tensor, Tensor]:
        correct, of_label, of_prediction = (self.counts[name].double() for name in _COUNTS)
        return correct, of_label, of_prediction
