"""Scores of semantic segmentation, all of them from one confusion matrix over the data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules.label_map import slug
from lightning_modules.runs.score import SEGMENTATION_SCORES, Score
from mutualformer.errors import UserError
from mutualformer.ignored_label import IGNORED

CONFUSION_PROTOCOL = (
    "one confusion matrix over all pixels of the data set, void left out; mIoU is the mean over "
    "the classes that are in the labels or in the predictions, mAcc over those in the labels; "
    "(absent 0): over all classes, with 0 for the others"
)


def describe_scores(classes: Sequence[str]) -> tuple[Score, ...]:
    """Return the scores of a data set of some classes, the IoU of each last.

    >>> [score.name for score in describe_scores(["wall", "floor mat"])][-2:]
    ['iou_wall', 'iou_floor_mat']
    """
    of_classes = (Score(f"iou_{slug(name)}", f"IoU {name}") for name in classes)
    return (*SEGMENTATION_SCORES, *of_classes)


def count_confusion(prediction: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Count pixels by class of the label (row) and of the prediction (column).

    Args:
        prediction: classes in [0, K), of any integer type and shape.
        label: of the same shape; 255 where a pixel does not count.
        num_classes: K.

    Returns:
        int64 `(K, K)`.

    Raises:
        ValueError: the shapes differ, or a class of a pixel that counts is none.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f"a prediction is {tuple(prediction.shape)}, expected the size of its label, "
            f"{tuple(label.shape)}: resize it"
        )
    counts = label != IGNORED
    rows, columns = label[counts].long(), prediction[counts].long()
    if len(rows) and (max(rows.max(), columns.max()) >= num_classes or columns.min() < 0):
        raise ValueError(
            f"labels go up to {int(rows.max())}, predictions from {int(columns.min())} to "
            f"{int(columns.max())}, expected {num_classes} classes from 0 on"
        )
    cells = (rows * num_classes + columns).bincount(minlength=num_classes**2)
    return cells.view(num_classes, num_classes)


def scores_of_counts(
    correct: Tensor, of_label: Tensor, of_prediction: Tensor, classes: Sequence[str]
) -> dict[str, Tensor]:
    """Compute all scores from the diagonal and the sums of a confusion matrix.

    A score that nothing defines is NaN: every score where no pixel counts, the IoU of a class that
    is in neither labels nor predictions.

    Args:
        correct: pixels of each class told rightly, float64 `(…, K)`.
        of_label: pixels of each class in the labels, likewise.
        of_prediction: in the predictions, where the label counts.
        classes: their K names.

    Returns:
        Float64 `(…)` by name, in the order of `describe_scores`.
    """
    iou = correct / (of_label + of_prediction - correct)
    accuracy = correct / of_label
    total = of_label.sum(-1)
    undefined = torch.where(total > 0, 0.0, torch.nan)
    frequency = of_label / total.unsqueeze(-1)
    scores = {
        "miou": iou.nanmean(-1),
        "miou_absent_zero": iou.nan_to_num(0.0).mean(-1) + undefined,
        "mean_accuracy": accuracy.nanmean(-1),
        "mean_accuracy_absent_zero": accuracy.nan_to_num(0.0).mean(-1) + undefined,
        "pixel_accuracy": correct.sum(-1) / total,
        # A class without labels has the frequency 0, whatever its IoU.
        "fw_iou": (frequency * iou).nan_to_num(0.0).sum(-1) + undefined,
    }
    return scores | {f"iou_{slug(x)}": iou[..., index] for index, x in enumerate(classes)}


class ConfusionScores(Metric):
    """Sum the confusion matrix of a data set, and compute all scores from it.

    The state is a matrix of int64, reduced over processes by addition: neither the order of the
    images nor the number of processes changes a single bit of a score.

    Args:
        classes: names of the K classes.
        kwargs: for ``torchmetrics.Metric``.

    Attributes:
        latest: the matrix of the last update alone.

    >>> scores = ConfusionScores(["wall", "floor"])
    >>> scores.update(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 255]]))
    >>> scores.confusion
    tensor([[1, 1],
            [0, 0]])
    >>> scores.compute()["pixel_accuracy"].item()
    0.5
    """

    full_state_update = False
    is_differentiable = False
    confusion: Tensor

    def __init__(self, classes: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = tuple(classes)
        self.latest = torch.zeros(0)
        size = (len(self.classes), len(self.classes))
        self.add_state("confusion", torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Add an image, or several of one size; see :func:`count_confusion`."""
        self.latest = count_confusion(prediction, label, len(self.classes))
        self.confusion += self.latest

    def compute(self) -> dict[str, Tensor]:
        """Return the scores, float64 scalars on the CPU (where float64 always exists)."""
        return scores_of_confusion(self.confusion, self.classes)


def scores_of_confusion(confusion: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
    """Compute all scores of a confusion matrix `(K, K)` of counts."""
    counts = confusion.cpu().double()
    return scores_of_counts(counts.diagonal(), counts.sum(1), counts.sum(0), classes)


def check_classes(
    of_data: Sequence[str], num_classes: int | None, owners: Mapping[str, str]
) -> None:
    """Refuse a network of another number of classes than the data.

    Raises:
        UserError: they differ.
    """
    if num_classes is not None and num_classes != len(of_data):
        raise UserError(
            f"num_classes of {owners['network']} is {num_classes}, and {owners['data']} has "
            f"{len(of_data)} classes ({', '.join(of_data[:3])} …), expected as many: give "
            f"--model.network.num_classes={len(of_data)}, or another --data.label_map"
        )
