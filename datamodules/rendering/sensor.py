"""What the two sensors make of a scene: holes, noise, displacement, and numbers to store."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.augmentation.depth_augmentation import bleed_edges, cast_shadows
from datamodules.rendering.settings import RenderSettings

FloatArray = NDArray[np.float64]

_DARKNESS = 0.06  # light that is left in a dark place
_HOLE_CELLS = 9  # of the grid that the outline of holes is drawn from
_SPILL = 0.03  # how far a hole reaches beyond what it is in, as a share of the smaller side
UNIT = 10_000  # stored is UNIT / metres, rounded
_FLOOR = 0.01  # of the range: what is farthest is told from what has no reading by it


def measure(
    rng: np.random.Generator,
    settings: RenderSettings,
    colour: FloatArray,
    distance: FloatArray,
    seen: NDArray[np.int64],
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return both pictures as they are stored.

    Args:
        rng: what chance is drawn from.
        settings: the knobs.
        colour: `(H, W, 3)`, in [0, 1].
        distance: `(H, W)`, in metres.
        seen: number of the region at each pixel, −1 for the ground, `(H, W)`.
    """
    # One stream each, so that a knob changes nothing but what it is for.
    of_holes, of_colour, of_depth, of_shift = rng.spawn(4)
    dark, no_reading = _holes(of_holes, settings, seen)
    colour = np.where(dark[..., None], _DARKNESS * colour, colour)
    colour = colour + settings.noise * of_colour.standard_normal(colour.shape)
    rgb = (colour.clip(0, 1) * 255).round().astype(np.uint8)

    inverse = UNIT / distance
    if settings.noise > 0:
        inverse = _noisy(of_depth, settings.noise, inverse)
    depth = inverse.round().astype(np.uint16)
    depth[no_reading] = 0
    return rgb, _displace(of_shift, settings.misalignment, depth)


def _holes(
    rng: np.random.Generator, settings: RenderSettings, seen: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where RGB is dark and where depth has no reading.

    One random field decides for every region: its lowest values are dark, its highest have no
    reading, so many of each as were asked for.
    """
    height, width = seen.shape
    cells = rng.standard_normal((_HOLE_CELLS, _HOLE_CELLS))
    field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    dark, no_reading = np.zeros((2, height, width), bool)
    reach = 2 * max(1, round(_SPILL * min(seen.shape))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    for number in range(seen.max() + 1):
        inside = seen == number
        values = np.sort(field[inside])
        if not len(values):
            continue
        # The outline of a hole must not be that of the object.
        around = cv2.dilate(inside.astype(np.uint8), kernel).astype(bool) & (inside | (seen < 0))
        num_dark = round(settings.holes_rgb * len(values))
        num_missing = round(settings.holes_depth * len(values))
        if num_dark:
            dark |= around & (field <= values[num_dark - 1])
        if num_missing:
            no_reading |= around & (field >= values[-num_missing])
    return dark, no_reading


def _noisy(rng: np.random.Generator, noise: float, inverse: FloatArray) -> FloatArray:
    """Return inverse distances as a sensor measures them, 0 where it does not."""
    far, near = inverse.min(), inverse.max()
    closeness = _FLOOR + (1 - _FLOOR) * (inverse - far) / (near - far)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        edges = bleed_edges(torch.from_numpy(closeness).float()[None])
        measured = cast_shadows(edges)[0].double().numpy()
    noisy = measured + noise * rng.standard_normal(inverse.shape)
    stored = far + (noisy - _FLOOR) / (1 - _FLOOR) * (near - far)
    return np.where(measured > 0, stored.clip(1), 0.0)


def _displace(
    rng: np.random.Generator, misalignment: int, depth: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """Displace by so many pixels, the larger of both directions; what comes in has no reading."""
    if misalignment == 0:
        return depth
    reach = range(-misalignment, misalignment + 1)
    shifts = [(y, x) for y in reach for x in reach if max(abs(y), abs(x)) == misalignment]
    y, x = shifts[rng.integers(len(shifts))]
    padded = np.pad(depth, misalignment)
    height, width = depth.shape
    top, left = misalignment - y, misalignment - x
    return padded[top : top + height, left : left + width]
