r"""Whether near is stored as bright or as dark, told from depth maps alone and with masks.

Two cues vote, image by image, each with a number s in [0, 1], above 0.5 for near = bright:

- *Objects* are mostly nearer than what surrounds them: s is the probability that a pixel of the
  object is brighter in the depth map than one of the ring around it (the area under the ROC curve).
  The ring, and not the whole background: the ground before an object is nearer than the object, and
  would count against it. Wrong where the objects are holes.
- The *ground* is nearer the lower in the image: s is the part of the pixels in the lower half that
  are brighter than the pixel an eighth of the height above them, among those that differ. It rests
  on no object; where a mask is at hand, its object is left out. It says nothing of cameras that
  look straight down or along a pipe.

A vote is right with probability 0.5 for s = 0.5, rising to `MAX_TRUST` where it is clear. Votes are
combined by Bayes' rule from even odds, and the more probable polarity is believed from
`MIN_CONFIDENCE` on: three clear votes suffice, two do not. That clear votes are right four times in
five is an assumption, on the careful side of the real maps at hand: objects are right in all eight
of DES and SSD, and wrong in potholes throughout; the ground is right in DES, SSD, potholes and the
unfilled maps of pipes (all of its clear votes there), and says nothing in the others of pipes. As
many weak votes could add up to certainty, `MIN_AGREEMENT` of the clear votes must agree as well;
polarity is then the same throughout. Where the two cues contradict each other, none is believed.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_TRUST = 0.8
MIN_CONFIDENCE = 0.95
MIN_AGREEMENT = 0.7
# Distance of s from 0.5 at which a vote is clear.
_CLEAR = 0.25
# Images are thinned out to about this side. The ring is this wide then, with a gap to the mask.
_SIDE = 160
_RING = (1.5, 16.0)
_MIN_PIXELS = 20
_MIN_PAIRS = 200


class Polarity(NamedTuple):
    """The polarity of a data set.

    Attributes:
        near: `bright`, `dark`, or `None` where the images do not tell.
        confidence: probability of the more probable polarity, in [0.5, 1].
        agreement: part of the clear votes that agree with it, in [0, 1]; 1 if there are none.
        num_votes: images that could vote.
        rests_on: `objects`, `ground`, both (`objects and ground`), or what contradicts which
            (`objects against ground`).
    """

    near: str | None
    confidence: float
    agreement: float
    num_votes: int
    rests_on: str = "objects"


def separation(depth: NDArray[np.float32], mask: NDArray[np.bool_]) -> float | None:
    """Return the probability that the object is brighter than the ring around it.

    Args:
        depth: `(H, W)`. Zeros are holes of the sensor, unless most of the map is zero.
        mask: `(H, W)`, true on the object.

    Returns:
        A number in [0, 1], ties counting half; `None` if object or ring have too few pixels.

    >>> mask = np.zeros((60, 60), bool)
    >>> mask[20:40, 20:40] = True
    >>> separation(np.where(mask, 0.9, 0.1).astype(np.float32), mask)
    1.0
    """
    step = max(1, max(depth.shape) // _SIDE)
    depth, mask = depth[::step, ::step], mask[::step, ::step]
    if not mask.any() or mask.all():
        return None
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside, ring = depth[mask], depth[(distance > _RING[0]) & (distance <= _RING[1])]
    inside, ring = _without_holes(inside), _without_holes(ring)
    if min(inside.size, ring.size) < _MIN_PIXELS:
        return None
    ring = np.sort(ring)
    below = np.searchsorted(ring, inside, "left")
    not_above = np.searchsorted(ring, inside, "right")
    return float(((below + not_above) / 2).mean() / ring.size)


def ground_slope(depth: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> float | None:
    """Return the probability that a pixel of the lower half is brighter than one above it.

    Args:
        depth: `(H, W)`. Zeros are holes of the sensor, unless most of the map is zero.
        mask: `(H, W)`, true on an object that is left out.

    Returns:
        A number in [0, 1]; `None` if too few pixels differ.

    >>> ground_slope(np.linspace(0.9, 0.1, 60, dtype=np.float32)[:, None].repeat(60, 1))
    0.0
    """
    step = max(1, max(depth.shape) // _SIDE)
    lower = depth[len(depth) // 2 :: step, ::step]
    known = lower > 0 if np.count_nonzero(depth) > depth.size / 2 else np.ones_like(lower, bool)
    if mask is not None:
        known &= ~mask[len(mask) // 2 :: step, ::step]
    above = max(1, len(lower) // 4)
    difference = (lower[above:] - lower[:-above])[known[above:] & known[:-above]]
    difference = difference[difference != 0]
    return float(np.mean(difference > 0)) if difference.size >= _MIN_PAIRS else None


def combine(objects: Polarity, ground: Polarity) -> Polarity:
    """Return what objects and ground say together, and which of them it rests on."""
    if ground.near is None:
        return objects
    if objects.near is None:
        return ground._replace(rests_on="ground")
    if objects.near != ground.near:
        return objects._replace(near=None, confidence=0.5, rests_on="objects against ground")
    better = max(objects, ground, key=lambda polarity: polarity.confidence)
    return better._replace(rests_on="objects and ground")


def estimate_polarity(separations: Sequence[float]) -> Polarity:
    """Combine the votes of the images of a data set, of `separation` or of `ground_slope`.

    >>> estimate_polarity([0.02, 0.1, 0.05]).near, estimate_polarity([0.02, 0.1]).near
    ('dark', None)
    """
    log_odds = sum(_log_odds(s) for s in separations)
    # Beyond this, the exponential overflows and the answer is 1 anyway.
    confidence = 1 / (1 + math.exp(-min(abs(log_odds), 500.0)))
    clear = [s > 0.5 for s in separations if abs(s - 0.5) >= _CLEAR]
    is_bright = log_odds > 0
    agreement = sum(vote == is_bright for vote in clear) / len(clear) if clear else 1.0
    sure = confidence >= MIN_CONFIDENCE and agreement >= MIN_AGREEMENT
    near = ("bright" if is_bright else "dark") if sure else None
    return Polarity(near, confidence, agreement, len(separations))


def _log_odds(s: float) -> float:
    trust = 0.5 + (MAX_TRUST - 0.5) * min(1.0, abs(s - 0.5) / _CLEAR)
    return math.copysign(math.log(trust / (1 - trust)), s - 0.5)


def _without_holes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    measured = values[values > 0]
    return measured if measured.size > values.size / 2 else values
