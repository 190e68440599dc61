"""S-measure: structural similarity of a saliency map and its mask."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms

_EPSILON = torch.finfo(torch.float64).eps


def s_measures(histograms: PairHistograms) -> Tensor:
    """Compute the S-measure of B pairs.

    ``max(0, ½ S_object + ½ S_region)``. S_object compares mean and spread of the prediction
    inside and outside the mask; S_region is the structural similarity over the four quadrants
    around the mask's centroid, weighted by area. An empty mask scores ``1 − mean(p)``, a full
    one ``mean(p)``.

    Args:
        histograms: of the B pairs.

    Returns:
        Float64 ``(B,)`` in [0, 1].

    Numerics: where the centroid lies on the last row or column, two quadrants have no pixels.
    PySODMetrics 1.6 gives NaN there; here they count for their weight, which is zero.

    Source: Fan et al., "Structure-measure: A New Way to Evaluate Foreground Maps", ICCV 2017.
    """
    counts = histograms.counts.sum(dim=1)
    sizes = counts.sum(dim=2)
    area = sizes.sum(dim=1)
    mean = (counts.sum(dim=1) * histograms.levels).sum(dim=1) / area
    foreground = sizes[:, 1]
    score = (0.5 * _object_scores(histograms) + 0.5 * _region_scores(histograms)).clamp(min=0)
    score = torch.where(foreground == 0, 1 - mean, score)
    return torch.where(foreground == area, mean, score)


def _object_scores(histograms: PairHistograms) -> Tensor:
    counts = histograms.counts.sum(dim=1)
    values = torch.stack([1 - histograms.levels, histograms.levels], dim=1)
    sizes = counts.sum(dim=2)
    mean = (counts * values).sum(dim=2) / sizes.clamp(min=1)
    squares = (counts * (values - mean[..., None]).square()).sum(dim=2)
    deviation = (squares / (sizes - 1).clamp(min=1)).sqrt()
    similarity = 2 * mean / (mean.square() + 1 + deviation + _EPSILON)
    return (similarity * sizes).sum(dim=1) / sizes.sum(dim=1)


def _region_scores(histograms: PairHistograms) -> Tensor:
    counts = histograms.counts
    # (B, 1, 1, 256): one table of levels per image, for every quadrant and side of the mask.
    levels = histograms.levels[:, None, None]
    sizes = counts.sum(dim=3)
    size = sizes.sum(dim=2)
    background, foreground = sizes.unbind(dim=2)
    mean = (counts * levels).sum(dim=(2, 3)) / size.clamp(min=1)
    mask_mean = foreground / size.clamp(min=1)

    deviations = levels - mean[..., None, None]
    divisor = size - 1 + _EPSILON
    variance = (counts * deviations.square()).sum(dim=(2, 3)) / divisor
    mask_variance = (
        foreground * (1 - mask_mean).square() + background * mask_mean.square()
    ) / divisor
    outside, inside = (counts * deviations).sum(dim=3).unbind(dim=2)
    covariance = (inside * (1 - mask_mean) - outside * mask_mean) / divisor

    numerator = 4 * mean * mask_mean * covariance
    denominator = (mean.square() + mask_mean.square()) * (variance + mask_variance)
    similarity = numerator / (denominator + _EPSILON)
    is_mask_constant = (foreground == 0) | (background == 0)
    similarity = torch.where(is_mask_constant, histograms.is_flat.double(), similarity)
    return (similarity * size).sum(dim=1) / size.sum(dim=1)
