"""Weighted F-measure: errors count by where they lie."""

from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms

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

    Numerics: where several mask pixels are nearest, the one of the leftmost column decides, then
    that of the highest row, as in PySODMetrics, where it is SciPy's choice.
    Cost: one exact distance transform on the CPU, O(H W), whatever the device of the pair; half
    and more of the time of all scores.

    Source: Margolin, Zelnik-Manor, Tal, "How to Evaluate Foreground Maps?", CVPR 2014.
    """
    scores = [
        _weighted_f(levels, prediction.cpu().numpy(), ground_truth.cpu().numpy())
        for levels, (prediction, ground_truth) in zip(
            histograms.levels.numpy(), histograms.pairs, strict=True
        )
    ]
    return torch.tensor(scores, dtype=torch.float64)


def _weighted_f(levels: NDArray, prediction: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """Score a map, `(H, W)` with the normalised value of each level, against a mask."""
    if not mask.any():
        return 0.0
    # Black pixels outside the mask count nothing, so the transform need not reach beyond the rest.
    object_window = _window(mask)
    is_bright = (levels > 0).take(prediction)
    window = _window(mask | is_bright)
    squared_distance = _squared_distances(mask[window])
    # The object's window, seen from inside the larger one.
    closeup = tuple(
        slice(small.start - large.start, small.stop - large.start)
        for small, large in zip(object_window, window, strict=True)
    )
    prediction, mask = prediction[window], mask[window]
    positions = np.flatnonzero(is_bright[window] & ~mask)
    values = levels.take(prediction.ravel().take(positions))
    weights = _weight_table().take(squared_distance.ravel().take(positions), mode="clip")
    # Not a dot product: BLAS would start threads of its own for it.
    false_positives = (values * weights).sum()
    error = _error_inside(1 - levels, prediction[closeup], mask[closeup], squared_distance[closeup])

    size = np.count_nonzero(mask)
    true_positives = size - error
    recall = 1 - error / size
    precision = true_positives / (true_positives + false_positives + _EPSILON)
    return float(2 * recall * precision / (recall + precision + _EPSILON))


def _error_inside(
    errors_of_levels: NDArray, prediction: NDArray, mask: NDArray, squared_distance: NDArray
) -> float:
    """Sum the errors in the mask, each the lesser of its own and of those around it, smoothed."""
    errors = errors_of_levels.take(prediction)
    # What smoothing reads outside the mask lies this near to it; beyond, any value will do.
    margin = np.flatnonzero((squared_distance <= 2 * _RADIUS**2) & ~mask)
    errors.ravel()[margin] = errors.ravel()[_nearest_inside(mask, squared_distance, margin)]
    kernel = _gaussian()
    smoothed = cv2.sepFilter2D(errors, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return float(np.minimum(errors, smoothed)[mask].sum())


def _squared_distances(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the squared distance of every pixel to the mask, exact up to thousands of pixels."""
    outside = (~mask).view(np.uint8)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(distance * distance).astype(np.int32)


def _nearest_inside(
    mask: NDArray[np.bool_], squared_distance: NDArray[np.int32], positions: NDArray
) -> NDArray:
    """Return the flat position of the mask's pixel nearest to each flat position, all near by."""
    offsets = _offsets()
    reach = offsets.max()
    padded = np.pad(mask, reach)
    width, padded_width = mask.shape[1], padded.shape[1]
    rows, columns = np.divmod(positions, width)
    starts = (rows + reach) * padded_width + columns + reach
    distances = squared_distance.ravel()[positions]
    candidates = starts[:, None] + (offsets @ (padded_width, 1))[distances]
    first = padded.ravel().take(candidates).argmax(axis=1)
    return positions + (offsets @ (width, 1))[distances, first]


@cache
def _offsets() -> NDArray[np.int64]:
    """Return the offsets (row, column) of each squared distance, in the order that decides.

    `(19, 8, 2)`: no distance has more than eight; the last one is repeated.
    """
    reach = range(-2 * _RADIUS, 2 * _RADIUS + 1)
    by_distance = [
        [(row, column) for column in reach for row in reach if row**2 + column**2 == distance]
        for distance in range(2 * _RADIUS**2 + 1)
    ]
    return np.array([((pairs or [(0, 0)]) * 8)[:8] for pairs in by_distance])


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the bounding box of a mask that is not empty, widened by what smoothing reads."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (
        slice(max(rows[0] - _RADIUS, 0), rows[-1] + _RADIUS + 1),
        slice(max(columns[0] - _RADIUS, 0), columns[-1] + _RADIUS + 1),
    )


@cache
def _weight_table() -> NDArray[np.float64]:
    """Return the weight of a false positive by squared distance; a table, because exp is slow."""
    return 2 - np.exp2(-np.sqrt(np.arange(_FAR**2 + 1)) / _HALF_DISTANCE)


@cache
def _gaussian() -> NDArray[np.float64]:
    """Return one factor of the separable Gaussian."""
    kernel = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    return kernel / kernel.sum()
