"""Changes to the values of a depth map that a real sensor would make too.

The paper publishes no augmentation: all of these and their strengths are assumptions. Each function
takes and returns float32 `(1, H, W)` in [0, 1], near = 1, holes = 0, and draws from torch's global
generator.
"""

import torch
import torch.nn.functional as F
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
HOLE_THRESHOLD = (
    1.6,
    2.6,
)  # in standard deviations of the coarse noise: 5 % to 0.5 % of the pixels


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
    """Add independent noise to every pixel."""
    return (depth + NOISE * torch.randn_like(depth)).clamp(0.0, 1.0)


def bleed_edges(depth: Tensor) -> Tensor:
    """Let the near side of edges grow over the far side in some places, and shrink in others."""
    radius = _random_length(MAX_BLEED, depth)
    near = _largest_within(_largest_within(depth, radius, radius, -1), radius, radius, -2)
    far = -_largest_within(_largest_within(-depth, radius, radius, -1), radius, radius, -2)
    where = _smooth_noise(depth, BLEED_CELLS)
    return torch.where(where > 0.5, near, torch.where(where < -0.5, far, depth))


def quantise_levels(depth: Tensor) -> Tensor:
    """Round to a random number of levels."""
    steps = int(torch.randint(NUM_LEVELS[0], NUM_LEVELS[1] + 1, ())) - 1
    return (depth * steps).round() / steps


def cast_shadows(depth: Tensor) -> Tensor:
    """Make holes beside near things, on one side, as a sensor with two viewpoints does."""
    width = _random_length(MAX_SHADOW, depth)
    left, right = (width, 0) if torch.rand(()) < 0.5 else (0, width)
    nearest = _largest_within(depth, left, right, -1)
    return torch.where(nearest - depth > SHADOW_STEP, 0.0, depth)


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
    size = (depth.shape[-2], depth.shape[-1])
    # With antialias, which changes nothing in an enlargement, it is three times as fast.
    return F.interpolate(torch.randn(1, 1, cells, cells), size, mode="bicubic", antialias=True)[0]


def _largest_within(depth: Tensor, before: int, after: int, dim: int) -> Tensor:
    """Return the largest value among neighbours along an axis, which is -1 or -2.

    Twenty times as fast as a maximum pooling of torch on a CPU.
    """
    padding = (before, after) if dim == -1 else (0, 0, before, after)
    padded = F.pad(depth, padding, value=float("-inf"))
    largest = depth
    for start in range(before + after + 1):
        largest = torch.maximum(largest, padded.narrow(dim, start, depth.shape[dim]))
    return largest
