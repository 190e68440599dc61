"""Changes to the values of a depth map that a real sensor would make too.

The paper publishes no augmentation: all of these and their strengths are assumptions. Each function
takes and returns float32 `(1, H, W)` in [0, 1], near = 1, holes = 0, and draws from torch's global
generator.
"""

import math
from statistics import NormalDist

import cv2
import numpy as np
import torch
from torch import Tensor

PROBABILITY = 0.5  # of each of bleeding, quantisation, shadows and holes
MIN_SCALE = 0.8  # depths are squeezed into a part of [0, 1] at least this long, anywhere in it
NOISE = 0.01  # standard deviation, in units of the depth range
MAX_BLEED = 0.01  # how far an edge moves, as a fraction of the image's side
BLEED_CELLS = 8  # an edge bleeds to one side over about this fraction of the image
NUM_LEVELS = (32, 256)  # as the maps of DES and SSD, which have 32 to 164
MAX_SHADOW = 0.02  # width, as a fraction of the image's side
SHADOW_STEP = 0.1  # smallest step in depth that casts a shadow
HOLE_CELLS = (6, 48)  # coarse and fine grid that the outline of holes is drawn from
# In standard deviations of the coarse noise: 5 % to 0.5 % of the pixels.
HOLE_THRESHOLD = (1.6, 2.6)

# What a byte stands for where normally distributed numbers are needed in number.
_NORMAL = np.array([NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)], np.float32)


def augment_depth(depth: Tensor) -> Tensor:
    """Change a depth map as a worse or differently set sensor would.

    >>> augment_depth(torch.rand(1, 32, 48)).shape
    torch.Size([1, 32, 48])
    """
    depth = scale_and_shift(depth)
    if _happens():
        depth = bleed_edges(depth)
    depth = add_noise(depth)
    if _happens():
        depth = quantise_levels(depth)
    if _happens():
        depth = cast_shadows(depth)
    if _happens():
        depth = punch_holes(depth)
    return depth


def augment_brightness(image: Tensor) -> Tensor:
    """Change an image `(C, H, W)` of a second modality that is not depth: gain, offset, noise."""
    return add_noise(scale_and_shift(image))


def scale_and_shift(depth: Tensor) -> Tensor:
    """Squeeze all values into a random part of [0, 1], in which none is clipped.

    Holes go along with what is farthest: lifting all but them would cut noise at the far end apart.
    """
    scale = MIN_SCALE + (1.0 - MIN_SCALE) * torch.rand(1)
    return depth * scale + (1.0 - scale) * torch.rand(1)


def add_noise(depth: Tensor) -> Tensor:
    """Add independent noise to every pixel, of 256 strengths, normally distributed."""
    # Eight pixels share one number: a third of the time of torch.randn.
    numbers = torch.empty(math.ceil(depth.numel() / 8), dtype=torch.int64).random_(-(2**63), None)
    values = numbers.view(torch.uint8)[: depth.numel()].view(depth.shape[-2], -1)
    noise = torch.from_numpy(cv2.LUT(values.numpy(), NOISE * _NORMAL)).view(depth.shape)
    return (depth + noise).clamp_(0.0, 1.0)


def bleed_edges(depth: Tensor) -> Tensor:
    """Let the near side of edges grow over the far side in some places, and shrink in others."""
    side = 2 * _random_length(MAX_BLEED, depth) + 1
    kernel = np.ones((side, side), np.uint8)
    near, far = (
        torch.from_numpy(change(depth[0].numpy(), kernel))[None]
        for change in (cv2.dilate, cv2.erode)
    )
    where = _smooth_noise(depth, BLEED_CELLS)
    return torch.where(where > 0.5, near, torch.where(where < -0.5, far, depth))


def quantise_levels(depth: Tensor) -> Tensor:
    """Round to a random number of levels."""
    steps = int(torch.randint(NUM_LEVELS[0], NUM_LEVELS[1] + 1, ())) - 1
    return (depth * steps).round() / steps


def cast_shadows(depth: Tensor) -> Tensor:
    """Make holes beside near things, on one side, as a sensor with two viewpoints does."""
    width = _random_length(MAX_SHADOW, depth)
    seen_from = width if torch.rand(()) < 0.5 else 0  # the left, or the right
    nearest = cv2.dilate(depth[0].numpy(), np.ones((1, width + 1), np.uint8), anchor=(seen_from, 0))
    return torch.where(torch.from_numpy(nearest) - depth > SHADOW_STEP, 0.0, depth)


def punch_holes(depth: Tensor) -> Tensor:
    """Make holes of irregular outline in random places."""
    coarse, fine = (_smooth_noise(depth, cells) for cells in HOLE_CELLS)
    low, high = HOLE_THRESHOLD
    threshold = low + (high - low) * torch.rand(1)
    return torch.where(coarse + 0.3 * fine > threshold, 0.0, depth)


def _happens() -> bool:
    return bool(torch.rand(()) < PROBABILITY)


def _random_length(largest: float, depth: Tensor) -> int:
    """Draw a length in pixels from 1 to a fraction of the image's side."""
    return int(torch.randint(1, max(1, round(largest * max(depth.shape[-2:]))) + 1, ()))


def _smooth_noise(depth: Tensor, cells: int) -> Tensor:
    """Interpolate normal noise from a grid of `cells` × `cells` to the size of the map."""
    size = (depth.shape[-1], depth.shape[-2])
    noise = torch.randn(cells, cells).numpy()
    return torch.from_numpy(cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR))[None]
