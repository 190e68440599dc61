"""Weighted F-measure: errors count by where they lie."""

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.saliency_metric import SaliencyMetric

_EPSILON = np.finfo(np.float64).eps
_RADIUS = 3
_SIGMA = 5.0
# Half of the extra weight of a false positive is reached at this distance from the object, pixels.
_HALF_DISTANCE = 5
# From here on the weight is 2 in double precision: ½ to the power of 53 is lost beside 2.
_FAR = 53 * _HALF_DISTANCE


def weighted_f_measures(histograms: PairHistograms) -> Tensor:
    """Compute the weighted F-measure of B pairs.

    ``F = 2 P R / (P + R)`` with ``R = 1 − mean e`` over the mask, ``TP = Σ (1 − e)`` over the mask,
    ``FP = Σ (2 − ½^(d/5)) p`` outside it and ``P = TP / (TP + FP)``. Here d is the distance to the
    mask in pixels and ``e = min(1 − p, G ∗ ẽ)``, where ẽ is 1 − p in the mask and that of the
    nearest mask pixel outside it, and G a 7 × 7 Gaussian of standard deviation 5 with zeros beyond
    the image. An empty mask scores 0.

    Args:
        histograms: of the B pairs.

    Returns:
        Float64 ``(B,)`` in [0, 1].

    Numerics: where several mask pixels are nearest, SciPy's choice decides, as in PySODMetrics.
    Cost: one exact distance transform on the CPU, O(H W), whatever the device of the pair; three
    quarters and more of the time of all scores.

    Source: Margolin, Zelnik-Manor, Tal, "How to Evaluate Foreground Maps?", CVPR 2014.
    """
    scores = [
        _weighted_f(levels.take(prediction.cpu().numpy()), ground_truth.cpu().numpy())
        for levels, (prediction, ground_truth) in zip(
            histograms.levels.numpy(), histograms.pairs, strict=True
        )
    ]
    return torch.tensor(scores, dtype=torch.float64)


def _weighted_f(values: np.ndarray, mask: np.ndarray) -> float:
    """Score a normalised map, float64 `(H, W)`, against a bool mask of the same shape."""
    if not mask.any():
        return 0.0
    # Black pixels outside the mask count nothing, so the transform need not reach beyond the rest.
    object_window = _window(mask, margin=_RADIUS)
    window = _window(mask | (values > 0), margin=_RADIUS)
    values, inside = values[window], mask[window]
    nearest_row, nearest_column = ndimage.distance_transform_edt(
        ~inside, return_distances=False, return_indices=True
    )
    # Not a dot product: BLAS would start threads of its own for it.
    false_positives = (values * _weights_outside(nearest_row, nearest_column)).sum()

    # The same window, seen from inside the larger one.
    closeup = tuple(
        slice(small.start - large.start, small.stop - large.start)
        for small, large in zip(object_window, window, strict=True)
    )
    inside = inside[closeup]
    # Mask pixels are nearest to themselves, so one look-up serves inside and outside.
    errors = 1 - values[nearest_row[closeup], nearest_column[closeup]]
    smoothed = ndimage.correlate1d(errors, _gaussian(), axis=0, mode="constant")
    smoothed = ndimage.correlate1d(smoothed, _gaussian(), axis=1, mode="constant")
    error = np.minimum(errors, smoothed)[inside].sum()

    size = np.count_nonzero(inside)
    true_positives = size - error
    recall = 1 - error / size
    precision = true_positives / (true_positives + false_positives + _EPSILON)
    return float(2 * recall * precision / (recall + precision + _EPSILON))


def _window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Return the bounding box of a mask that is not empty, widened by a margin."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )


def _weights_outside(nearest_row: np.ndarray, nearest_column: np.ndarray) -> np.ndarray:
    """Return the weight of a false positive at every pixel, 0 inside the mask."""
    height, width = nearest_row.shape
    squared_distance = (nearest_row - np.arange(height, dtype=np.int32)[:, None]) ** 2
    squared_distance += (nearest_column - np.arange(width, dtype=np.int32)) ** 2
    return _weight_table().take(squared_distance, mode="clip")


@cache
def _weight_table() -> np.ndarray:
    """Return the weight of a false positive by squared distance; a table, because exp is slow."""
    weights = 2 - np.exp2(-np.sqrt(np.arange(_FAR**2 + 1)) / _HALF_DISTANCE)
    weights[0] = 0  # the distance inside the mask
    return weights


@cache
def _gaussian() -> np.ndarray:
    """Return one factor of the separable Gaussian."""
    kernel = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    return kernel / kernel.sum()


class WeightedFMeasure(SaliencyMetric):
    """Average the weighted F-measure over images; ``compute`` gives a scalar.

    >>> metric = WeightedFMeasure()
    >>> metric.update([torch.tensor([[255, 0]]).byte()], [torch.tensor([[True, False]])])
    >>> round(metric.compute().item(), 6)
    1.0
    """

    higher_is_better = True
    value_shapes = {"f_weighted": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``f_weighted`` ``(B,)``."""
        return {"f_weighted": weighted_f_measures(histograms)}

    def compute(self) -> Tensor:
        """Return the mean over images; RuntimeError if none was seen."""
        return self.means()["f_weighted"]
