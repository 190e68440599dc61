"""E-measure: alignment of a thresholded saliency map with its mask."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.saliency_metric import SaliencyMetric, curve_scores

_EPSILON = torch.finfo(torch.float64).eps


def e_measures(histograms: PairHistograms) -> tuple[Tensor, Tensor]:
    """Compute the E-measure of B pairs at every threshold, and at the adaptive one.

    ``E = Σ ¼ (1 + ξ)² / (H W − 1)`` over pixels, ``ξ = 2 a b / (a² + b²)``, with a and b the
    binarised prediction and the mask, each less its mean. With an empty mask it is the share of
    pixels below the threshold, with a full one the share at or above it (both over H W − 1). The
    adaptive threshold is ``min(2 · mean(p), 1)``.

    Args:
        histograms: of the B pairs.

    Returns:
        The curves, float64 ``(B, 256)`` by rising threshold (``p ≥ t / 255``), and the adaptive
        values, float64 ``(B,)``. In [0, 1], but for the divisor H W − 1, kept as in PySODMetrics:
        1 is exceeded by ``1 / (H W − 1)`` at most, and one lone pixel scores 0 or about 4.5e15.

    Source: Fan et al., "Enhanced-alignment Measure for Binary Foreground Map Evaluation",
    IJCAI 2018.
    """
    sizes = histograms.foreground_and_background()
    curves = e_values(*histograms.true_and_false_positives, *sizes)
    adaptive = e_values(*histograms.adaptive_true_and_false_positives(), *sizes)
    return curves, adaptive[:, 0]


def e_values(
    true_positives: Tensor, false_positives: Tensor, foreground: Tensor, background: Tensor
) -> Tensor:
    """Compute E from the counts at T thresholds, ``(B, T)``, and of the mask, ``(B, 1)``."""
    area = foreground + background
    positives = true_positives + false_positives
    prediction_mean = positives / area
    mask_mean = foreground / area
    # A pixel is one of four kinds, and all pixels of a kind align equally.
    aligned = (
        true_positives * _alignment(1 - prediction_mean, 1 - mask_mean)
        + false_positives * _alignment(1 - prediction_mean, -mask_mean)
        + (foreground - true_positives) * _alignment(-prediction_mean, 1 - mask_mean)
        + (background - false_positives) * _alignment(-prediction_mean, -mask_mean)
    )
    aligned = torch.where(foreground == 0, area - positives, aligned)
    aligned = torch.where(background == 0, positives, aligned)
    return aligned / (area - 1 + _EPSILON)


def _alignment(prediction: Tensor, mask: Tensor) -> Tensor:
    cosine = 2 * prediction * mask / (prediction.square() + mask.square() + _EPSILON)
    return (cosine + 1).square() / 4


class EMeasure(SaliencyMetric):
    """Average E-measure over images: ``compute`` gives ``e_max``, ``e_mean``, ``e_adaptive``.

    ``e_max`` and ``e_mean`` are the maximum and the mean over thresholds of the curve averaged
    over images; ``e_adaptive`` is the adaptive value averaged over images.

    >>> metric = EMeasure()
    >>> metric.update([torch.zeros(1, 8, 8, dtype=torch.uint8)], [torch.zeros(1, 8, 8).bool()])
    >>> sorted(metric.compute())
    ['e_adaptive', 'e_max', 'e_mean']
    """

    higher_is_better = True
    value_shapes = {"e_curve": (NUM_LEVELS,), "e_adaptive": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``e_curve`` ``(B, 256)`` and ``e_adaptive`` ``(B,)``."""
        curves, adaptive = e_measures(histograms)
        return {"e_curve": curves, "e_adaptive": adaptive}

    def compute(self) -> dict[str, Tensor]:
        """Return the three scores; RuntimeError if no image was seen."""
        return curve_scores("e", self.means())
