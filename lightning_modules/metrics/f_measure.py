"""F-measure: precision and recall of a saliency map, over thresholds."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.saliency_metric import SaliencyMetric, curve_scores

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


class FMeasure(SaliencyMetric):
    """Average F-measure over images: ``compute`` gives ``f_max``, ``f_mean``, ``f_adaptive``.

    ``f_max`` and ``f_mean`` are the maximum and the mean over thresholds of the curve averaged
    over images; ``f_adaptive`` is the adaptive value averaged over images.

    >>> metric = FMeasure()
    >>> metric.update([torch.tensor([[255, 0]]).byte()], [torch.tensor([[True, False]])])
    >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
    {'f_max': 1.0, 'f_mean': 0.998, 'f_adaptive': 1.0}
    """

    higher_is_better = True
    value_shapes = {"f_curve": (NUM_LEVELS,), "f_adaptive": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``f_curve`` ``(B, 256)`` and ``f_adaptive`` ``(B,)``."""
        curves, adaptive = f_measures(histograms)
        return {"f_curve": curves, "f_adaptive": adaptive}

    def compute(self) -> dict[str, Tensor]:
        """Return the three scores; RuntimeError if no image was seen."""
        return curve_scores("f", self.means())
