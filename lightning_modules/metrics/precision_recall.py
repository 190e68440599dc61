"""Precision and recall of a saliency map, over thresholds."""

from torch import Tensor

from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.saliency_metric import SaliencyMetric


def precision_recall_curves(prediction: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """Compute precision and recall of one pair at every threshold.

    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``. A ratio whose divisor is zero is
    0: the recall of an empty mask, and the precision where no pixel reaches the threshold.

    Args:
        prediction: uint8 ``(1, H, W)`` or ``(H, W)``; min–max normalised here.
        ground_truth: bool, same shape.

    Returns:
        Precision and recall, each float64 ``(256,)`` in [0, 1] by rising threshold
        (``p ≥ t / 255``).

    Raises:
        ValueError: If the shapes differ.
        TypeError: If a type is not as above.

    >>> import torch
    >>> mask = torch.tensor([[True, True, False, False]])
    >>> precision, recall = precision_recall_curves(mask.byte() * 200, mask)
    >>> precision[0].item(), precision[1].item(), recall[255].item()
    (0.5, 1.0, 1.0)
    """
    histograms = PairHistograms.from_pairs([prediction], [ground_truth])
    foreground, _ = histograms.foreground_and_background()
    precision, recall = precision_recall(*histograms.true_and_false_positives, foreground)
    return precision[0], recall[0]


def precision_recall(
    true_positives: Tensor, false_positives: Tensor, foreground: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute both from the counts at T thresholds, ``(B, T)``, and of the mask, ``(B, 1)``."""
    precision = true_positives / (true_positives + false_positives).clamp(min=1)
    return precision, true_positives / foreground.clamp(min=1)


class PrecisionRecall(SaliencyMetric):
    """Average precision and recall over images, threshold by threshold.

    ``compute`` gives ``precision_curve`` and ``recall_curve``, float64 ``(256,)``. The F-measure of
    these averages is the other convention of max F, ``f_max_dataset`` in ``SaliencyScores``.

    >>> import torch
    >>> metric = PrecisionRecall()
    >>> metric.update([torch.tensor([[255, 0]]).byte()], [torch.tensor([[True, False]])])
    >>> metric.compute()["precision_curve"][[0, 255]].tolist()
    [0.5, 1.0]
    """

    value_shapes = {"precision_curve": (NUM_LEVELS,), "recall_curve": (NUM_LEVELS,)}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``precision_curve`` and ``recall_curve``, each ``(B, 256)``."""
        foreground, _ = histograms.foreground_and_background()
        precision, recall = precision_recall(*histograms.true_and_false_positives, foreground)
        return {"precision_curve": precision, "recall_curve": recall}

    def compute(self) -> dict[str, Tensor]:
        """Return the two curves; RuntimeError if no image was seen."""
        return self.means()
