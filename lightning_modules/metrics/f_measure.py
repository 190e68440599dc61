"""F-measure: precision and recall of a saliency map, over thresholds."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms

_BETA_SQUARED = 0.3


def f_measures(histograms: PairHistograms) -> tuple[Tensor, Tensor]:
    """Compute the F-measure of B pairs at every threshold, and at the adaptive one.

    ``F = (1 + β²) · precision · recall / (β² · precision + recall)``, β² = 0.3, and 0 where
    nothing is hit. The adaptive threshold is ``min(2 · mean(p), 1)``.

    Args:
        histograms: of the B pairs.

    Returns:
        The curves, float64 ``(B, 256)`` in [0, 1] by rising threshold (``p ≥ t / 255``), and the
        adaptive values, float64 ``(B,)`` in [0, 1].

    Source: Achanta et al., "Frequency-tuned Salient Region Detection", CVPR 2009.
    """
    foreground, _ = histograms.foreground_and_background()
    curves = f_values(*precision_recall(*histograms.true_and_false_positives, foreground))
    adaptive = f_values(
        *precision_recall(*histograms.adaptive_true_and_false_positives(), foreground)
    )
    return curves, adaptive[:, 0]


def precision_recall(
    true_positives: Tensor, false_positives: Tensor, foreground: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute both from the counts at T thresholds, ``(B, T)``, and of the mask, ``(B, 1)``.

    ``precision = TP / (TP + FP)``, ``recall = TP / (TP + FN)``. A ratio whose divisor is zero is
    0: the recall of an empty mask, and the precision where no pixel reaches the threshold.
    """
    precision = true_positives / (true_positives + false_positives).clamp(min=1)
    return precision, true_positives / foreground.clamp(min=1)


def f_values(precision: Tensor, recall: Tensor) -> Tensor:
    """Compute F from precision and recall, elementwise; 0 where both are 0."""
    denominator = _BETA_SQUARED * precision + recall
    values = (1 + _BETA_SQUARED) * precision * recall / denominator
    return torch.where(denominator == 0, torch.zeros_like(values), values)
