"""The part of a scene that a training sample shows: cropped, mirrored and turned."""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2

CROP_AREA = (0.6, 1.0)  # fraction of the image kept by a random crop
CROP_ASPECT = (0.75, 1.33)  # width / height of the crop in pixels, over that of the output
TURN_PROBABILITY = 0.2
MAX_TURN = 15.0  # degrees, to either side

# Its threads do not survive the fork of a loader's worker, which then waits for ever; and a worker
# has one core to itself.
cv2.setNumThreads(0)


class RandomView(NamedTuple):
    """Where the output's pixels come from, in pixels of the image and radians."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool
    angle: float


def draw_view(image: Tensor, size: tuple[int, int]) -> RandomView:
    """Draw a view of an image `(C, H, W)`, from torch's global generator.

    Args:
        image: whose size counts.
        size: height and width that the view will be shown at.
    """
    # Of an image of quite other proportions than the output's, crops of those would keep too
    # little: they go as far towards them as leaves room to move.
    least, own = CROP_ASPECT[0], image.shape[-1] / image.shape[-2]
    middle = min(max(size[1] / size[0], least * own), own / least)
    aspects = [middle * aspect for aspect in CROP_ASPECT]
    top, left, height, width = v2.RandomResizedCrop.get_params(image, list(CROP_AREA), aspects)
    mirrored = bool(torch.rand(()) < 0.5)
    angle = 0.0
    if torch.rand(()) < TURN_PROBABILITY:
        angle = math.radians(MAX_TURN * (2.0 * float(torch.rand(())) - 1.0))
    return RandomView(top, left, height, width, mirrored, angle)


def render(image: NDArray, view: RandomView, size: tuple[int, int]) -> NDArray:
    """Resample what a view shows of an image, bilinearly; what lies outside the image is 0.

    A view may reach beyond the image.

    OpenCV does it in a quarter of the time that torchvision takes.

    Args:
        image: `(H, W)` or `(H, W, C)`, uint8 or float32.
        view: of an image of this size.
        size: height and width of the output in pixels.

    Returns:
        `size`, or `size` and C channels, of the type of the image.

    >>> image = np.array([[1, 2], [3, 4]], np.uint8)
    >>> render(image, RandomView(0, 0, 2, 2, mirrored=True, angle=0.0), (2, 2)).tolist()
    [[2, 1], [4, 3]]
    """
    shrink = min(view.height // size[0], view.width // size[1])
    if shrink >= 2:  # bilinear interpolation would jump over pixels
        height, width = image.shape[0] // shrink, image.shape[1] // shrink
        scale = (height / image.shape[0], width / image.shape[1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    else:
        scale = (1.0, 1.0)
    reaches_beyond = (
        min(view.top, view.left) < 0
        or view.top + view.height > image.shape[0]
        or view.left + view.width > image.shape[1]
    )
    if view.angle or shrink >= 2 or reaches_beyond:
        return cv2.warpAffine(
            image,
            _output_to_image(view, scale, size),
            size[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
    crop = image[view.top : view.top + view.height, view.left : view.left + view.width]
    resized = cv2.resize(crop, size[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.flip(resized, 1) if view.mirrored else resized


def _output_to_image(
    view: RandomView, scale: tuple[float, float], size: tuple[int, int]
) -> NDArray:
    """Return the `(2, 3)` matrix from positions in the output to those in the image.

    Positions are of the centres of pixels, the first of which is at 0. The output is turned about
    0 with its height as 2, whatever the aspect of the view.
    """
    height, width = size
    aspect = width / height
    to_centre = np.array(
        [[2 / height, 0, 1 / height - aspect], [0, 2 / height, 1 / height - 1], [0, 0, 1]]
    )
    cosine, sine = math.cos(view.angle), math.sin(view.angle)
    mirror = -1.0 if view.mirrored else 1.0
    turn = np.array([[mirror * cosine, -sine, 0], [mirror * sine, cosine, 0], [0, 0, 1]])
    half_height, half_width = scale[0] * view.height / 2, scale[1] * view.width / 2
    to_image = np.array(
        [
            [half_width / aspect, 0, scale[1] * view.left + half_width - 0.5],
            [0, half_height, scale[0] * view.top + half_height - 0.5],
        ]
    )
    return to_image @ turn @ to_centre
