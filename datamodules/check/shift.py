"""Whether the second modality is shifted against RGB, told from edges.

Both show edges where objects end. So the edges of one image are slid over those of the other, and
the correlation is noted for every shift. What a single image says is unreliable: the maximum of the
mean over the images of a set is the shift of the set, and counts if at least `MIN_AGREEMENT` of the
images, and `MIN_IMAGES` of them, have their own maximum nearer to it than to no shift.

Tried on the real sets at hand, as they are and moved by 1, 3 and 8 pixels: SSD is found to the
pixel; VT5000 (shifts of its own, another in each image) from 8 pixels on, to the pixel; DES and
pipes give no answer, and no set is called shifted that was not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_AGREEMENT = 0.6
MIN_IMAGES = 3
MAX_VOTES = 32
"""Images of a set that are asked: a shift of the set shows in them, and each takes its time."""
# Shifts up to this part of the longer side are tried, but always up to so many pixels.
_MAX_SHIFT = 1 / 16
_MIN_RADIUS = 16
_EDGE_QUANTILE = 0.95  # so much of an image is no edge


class Shift(NamedTuple):
    """How the second modality of a data set lies against RGB.

    Attributes:
        right, down: pixels that its content lies further right and down; `None` where the images
            do not tell.
        num_agreeing: images that say the same.
        num_votes: images that were asked.
    """

    right: int | None
    down: int | None
    num_agreeing: int
    num_votes: int


def shift_scores(rgb: NDArray, second: NDArray) -> NDArray[np.float32] | None:
    """Return how well the edges of two images fit, by shift.

    Args:
        rgb: grey levels `(H, W)`.
        second: likewise, of any range.

    Returns:
        `(2 R + 1, 2 R + 1)`: at `[R + y, R + x]`, for `second` lying x pixels right and y down of
        `rgb`. `None` for images too small, or without edges.
    """
    height, width = rgb.shape
    radius = min(max(_MIN_RADIUS, int(max(rgb.shape) * _MAX_SHIFT)), min(rgb.shape) // 4)
    edges = [_edges(image) for image in (rgb, second)]
    if radius < 2 or any(not image.any() for image in edges):
        return None
    inner = edges[1][radius : height - radius, radius : width - radius]
    scores = cv2.matchTemplate(edges[0], inner, cv2.TM_CCOEFF_NORMED)
    return np.asarray(scores[::-1, ::-1], np.float32) if np.isfinite(scores).all() else None


def estimate_shift(votes: Sequence[NDArray[np.float32]]) -> Shift:
    """Combine the scores of the images of a data set, of `shift_scores`."""
    if not votes:
        return Shift(None, None, 0, 0)
    radius = min(len(scores) for scores in votes) // 2  # images may differ in size
    same = [_inner(scores, radius) for scores in votes]
    together = _argmax(np.mean(same, axis=0))
    distance = np.hypot(*together)
    num_agreeing = 0
    for own in map(_argmax, same):
        to_shift, to_none = np.hypot(*(own - together)), np.hypot(*own)
        if to_shift <= max(1.0, distance / 2) and (to_shift < to_none or distance == 0):
            num_agreeing += 1
    at_the_edge = np.abs(together).max() >= radius  # it may lie anywhere beyond
    if at_the_edge or num_agreeing < max(MIN_IMAGES, MIN_AGREEMENT * len(votes)):
        return Shift(None, None, num_agreeing, len(votes))
    return Shift(int(together[1]), int(together[0]), num_agreeing, len(votes))


def _edges(image: NDArray) -> NDArray[np.float32]:
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    strength = cv2.magnitude(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    )
    return (strength > np.quantile(strength[::4, ::4], _EDGE_QUANTILE)).astype(np.float32)


def _inner(scores: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    margin = len(scores) // 2 - radius
    return scores[margin : len(scores) - margin, margin : len(scores) - margin]


def _argmax(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    return np.array(np.unravel_index(scores.argmax(), scores.shape)) - len(scores) // 2
