"""Values of a depth map that take most of its range from all others."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Share of the range that the bulk of the pixels keeps in a map without outliers: scenes with a
# remote background keep a third (ten maps of pipes), so more is asked where the value tells.
MIN_SHARE = 0.3
MIN_SHARE_BESIDE_CODES = 0.5
# At either end, so many pixels may be outliers, whatever their value.
_TAIL = 0.01
# Of many pixels only where the value is one that stands for "no reading": 0, or all bits set.
_ALL_BITS = {2**bits - 1 for bits in (8, 10, 12, 14, 15, 16, 31)}
_MAX_PIXELS = 20_000  # thinned out to about so many, as quantiles take long


class Outliers(NamedTuple):
    """What spoils the range of a map.

    Attributes:
        low, high: stored values at the two ends of the map, `None` for an end that is not spoilt.
        bulk: stored values between which all others lie.
        share: of the map's range, that lies between them.
    """

    low: float | None
    high: float | None
    bulk: tuple[float, float]
    share: float

    def describe(self) -> str:
        """Say which values, and what they leave of the range."""
        ends = " and ".join(f"{end:g}" for end in (self.low, self.high) if end is not None)
        return f"{ends} far from all others, which keep {self.share:.1%} of the range"


def find_outliers(values: NDArray, valid: NDArray[np.bool_]) -> Outliers | None:
    """Return what spoils scaling a map by its smallest and largest valid value, if anything does.

    >>> scene = np.linspace(1000, 2000, 4096).astype(np.uint16).reshape(64, 64)
    >>> find_outliers(scene, scene > 0) is None
    True
    >>> scene[0, 0] = 65535
    >>> find_outliers(scene, scene > 0).high
    65535.0
    """
    kept = values[valid]
    if kept.size < 100:
        return None
    low, high = float(kept.min()), float(kept.max())
    step = max(1, kept.size // _MAX_PIXELS)
    bulk = np.sort(kept[::step])
    for end in (low, high):
        if _is_code(end, bulk):
            bulk = bulk[bulk != end]
    if bulk.size < 2 or low == high:
        return None
    tail = int(_TAIL * bulk.size)
    first, last = float(bulk[tail]), float(bulk[-1 - tail])
    if first == last:  # a map of few levels, such as a mask
        return None
    share = (last - first) / (high - low)
    far = (high - low) / 4
    ends = [low if first - low > far else None, high if high - last > far else None]
    are_codes = all(end is None or _is_code(end, kept) for end in ends)
    if share >= (MIN_SHARE_BESIDE_CODES if are_codes else MIN_SHARE) or ends == [None, None]:
        return None
    return Outliers(ends[0], ends[1], (first, last), share)


def choose_invalid_depth(outliers: Collection[Outliers], zeros_are_holes: bool) -> str | None:
    """Return the choice of `--data.invalid_depth` that takes outliers for holes.

    Args:
        outliers: of the maps of a data set.
        zeros_are_holes: whether zeros are holes already, which they have to remain.

    Returns:
        `zero`, `max` or `both`; `None` where the values are no usual sign of a hole.
    """
    lows = {each.low for each in outliers} - {None}
    highs = {each.high for each in outliers} - {None}
    if lows - {0.0} or highs - {255.0, 65535.0}:
        return None
    if not highs:
        return "zero"
    return "both" if lows or zeros_are_holes else "max"


def _is_code(end: float, values: NDArray) -> bool:
    if values.dtype.kind == "f":
        return int(np.count_nonzero(values == end)) > 1
    return end == 0 or end in _ALL_BITS
