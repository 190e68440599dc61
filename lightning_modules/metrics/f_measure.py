"""F-measure: precision and recall of a saliency map, over thresholds."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.precision_recall import precision_recall
from lightning_modules.metrics.saliency_metric import SaliencyMetric, curve_scores

_BETA_SQUARED = 0.3


def f_measure(prediction: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the F-measure of one pair at every threshold, and at the adaptive one.

    ``F = (1 + β²) · precision · recall / (β² · precision + recall)``, β² = 0.3, and 0 where
    nothing is hit. The adaptive threshold is ``min(2 · mean(p), 1)``.

    Args:
        prediction: uint8 ``(1, H, W)`` or ``(H, W)``; min–max normalised here.
        ground_truth: bool, same shape.

    Returns:
        The curve, float64 ``(256,)`` in [0, 1] by rising threshold (``p ≥ t / 255``), and the
        adaptive value, float64 scalar in [0, 1].

    Raises:
        ValueError: If the shapes differ.
        TypeError: If a type is not as above.

    Source: Achanta et al., "Frequency-tuned Salient Region Detection", CVPR 2009.

    >>> curve, adaptive = f_measure(torch.tensor([[9, 0]]).byte(), torch.tensor([[True, False]]))
    >>> tuple(curve.shape), round(adaptive.item(), 6)
    ((256,), 1.0)
    """
    curves, adaptive = f_measures(PairHistograms.from_pairs([prediction], [ground_truth]))
    return curves[0], adaptive[0]


def f_measures(histograms: PairHistograms) -> tuple[Tensor, Tensor]:
    """Compute the curves ``(B, 256)`` and adaptive values ``(B,)`` of B pairs, float64."""
    foreground, _ = histograms.foreground_and_background()
    curves = f_values(*precision_recall(*histograms.true_and_false_positives, foreground))
    adaptive = f_values(
        *precision_recall(*histograms.adaptive_true_and_false_positives(), foreground)
    )
    return curves, adaptive[:, 0]


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
