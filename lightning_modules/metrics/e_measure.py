"""E-measure: alignment of a thresholded saliency map with its mask."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms

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
