"""Synthetic RGB-D scenes whose salient object can only be told with both modalities.

Every scene holds one salient object among distractors on a slanted, textured background:

    region          colour differs   stands out in depth
    salient object  yes              yes
    poster          yes              no
    bump            no               yes

All regions of a scene are drawn alike (outline, size, position, colour, relief) and only then
dealt their roles. A single modality therefore shows several regions with nothing to choose
between them: colour alone confuses the object with the posters, depth alone with the bumps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import check_at_least
from datamodules.image_size import ImageSize, height_and_width
from mutualformer.errors import UserError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

SPLITS = ("train", "val", "test")

_NUM_ANGLES = 720
_GAP = 0.015  # smallest distance between two regions, as a fraction of the image side
_SHAPES = ("ellipse", "polygon", "star", "blob")


class Scene(NamedTuple):
    """One scene, with the regions that made it.

    Attributes:
        rgb: colour image, float32 `(H, W, 3)` in [0, 1].
        depth: depth map, float32 `(H, W)` in [0, 1], near = 1, invalid pixels 0.
        salient: the object to find: colour and relief, bool `(H, W)`.
        posters: distractors with colour and no relief, bool `(H, W)`.
        bumps: distractors with relief and no colour, bool `(H, W)`.
    """

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    salient: BoolArray
    posters: BoolArray
    bumps: BoolArray


def generate_scene(
    seed: int, split: str, index: int, image_size: ImageSize = 128, difficulty: float = 0.5
) -> Scene:
    """Generate scene number `index` of a split.

    The scene is a function of the arguments alone. Splits are disjoint random streams.

    Args:
        seed: seed of the data set, at least 0.
        split: `"train"`, `"val"` or `"test"`.
        index: number of the scene, at least 0.
        image_size: in pixels, at least 32: the side of a square, or `(height, width)`, over which
            the scene of a square is stretched.
        difficulty: from 0 (strong contrast, little noise, 1 or 2 distractors of each kind) to 1
            (weak contrast, much noise, 3 to 5 of each kind).

    Returns:
        The images and the regions, see `Scene`.

    Raises:
        ValueError: an argument is outside its range.

    >>> scene = generate_scene(seed=0, split="train", index=3, image_size=64)
    >>> scene.rgb.shape, scene.depth.shape, scene.salient.dtype
    ((64, 64, 3), (64, 64), dtype('bool'))
    """
    size = check_scene_arguments(seed, split, image_size, difficulty)
    check_at_least(0, index=index)
    rng = np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), index))
    )
    rows, columns = np.meshgrid(*((np.arange(n) + 0.5) / n for n in size), indexing="ij")

    fewest, most = 1 + round(2 * difficulty), 2 + round(3 * difficulty)
    num_posters, num_bumps = rng.integers(fewest, most + 1, size=2)
    regions = place_regions(rng, 1 + num_posters + num_bumps)

    # The plane lies in [0.12, 0.6] and the relief below 0.4, so that nothing is clipped.
    slope = rng.uniform(-0.2, 0.2, size=2)
    plane = rng.uniform(0.32, 0.4) + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    background = rng.uniform(0.3, 0.7, size=3)
    rgb = background + draw_texture(rng, size, difficulty)
    depth = plane.copy()

    masks = {"salient": np.zeros_like(rows, bool)}
    masks |= {"poster": masks["salient"].copy(), "bump": masks["salient"].copy()}
    roles = ["salient"] + ["poster"] * num_posters + ["bump"] * num_bumps
    for region, role in zip(regions, rng.permutation(roles), strict=True):
        coverage, relative_radius = rasterise(rng, region, rows, columns)
        # Drawn for every role, used or not: the roles must not differ in anything else.
        colour = _contrasting_colour(rng, background, difficulty)
        texture = draw_texture(rng, size, difficulty)
        relief = rng.uniform(0.85, 1.15) * mix(0.34, 0.12, difficulty)
        roundness = rng.uniform(0.0, 0.5)
        inside = coverage >= 0.5
        masks[role] |= inside
        if role != "bump":
            rgb += coverage[..., None] * (colour + texture - rgb)
        if role != "poster":
            depth[inside] += (relief * (1.0 - roundness * relative_radius**2))[inside]

    raised = masks["salient"] | masks["bump"]
    return Scene(
        rgb=photograph(rng, rgb, rows, columns, difficulty),
        depth=measure_depth(rng, depth, raised, difficulty),
        salient=masks["salient"],
        posters=masks["poster"],
        bumps=masks["bump"],
    )


def check_scene_arguments(
    seed: int, split: str, image_size: ImageSize, difficulty: float
) -> tuple[int, int]:
    """Check the arguments of `generate_scene`.

    Returns:
        The height and the width of the scene.

    Raises:
        ValueError: an argument is outside its range.
    """
    check_at_least(0, seed=seed)
    if split not in SPLITS:
        raise UserError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    if not 0.0 <= difficulty <= 1.0:
        raise UserError(f"difficulty is {difficulty}, expected a number from 0 to 1")
    return height_and_width(image_size)


class _Region(NamedTuple):
    row: float
    column: float
    radius: float


def mix(easy: float, hard: float, difficulty: float) -> float:
    """Return what lies between an easy and a hard value at a difficulty."""
    return easy + (hard - easy) * difficulty


def place_regions(rng: np.random.Generator, num_regions: int) -> list[_Region]:
    """Place circles that do not overlap, large ones first, shrinking those that do not fit."""
    placed: list[_Region] = []
    for radius in np.sort(rng.uniform(0.1, 0.18, size=num_regions))[::-1]:
        centres = rng.uniform(0.1, 0.9, size=(500, 2))
        room = np.full(len(centres), radius)
        for region in placed:
            distance = np.hypot(centres[:, 0] - region.row, centres[:, 1] - region.column)
            room = np.minimum(room, distance - region.radius - _GAP)
        best = int(np.argmax(room))
        placed.append(_Region(centres[best, 0], centres[best, 1], room[best]))
    return placed


def _outline(rng: np.random.Generator) -> FloatArray:
    """Draw a star-shaped outline: its radius per angle, largest value 1."""
    angle = np.linspace(0.0, 2.0 * np.pi, _NUM_ANGLES, endpoint=False)
    shape = rng.choice(_SHAPES)
    if shape == "ellipse":
        minor = rng.uniform(0.55, 1.0)
        radius = minor / np.hypot(minor * np.cos(angle), np.sin(angle))
    elif shape == "blob":
        orders = np.arange(2, 6)[:, None]
        phases = rng.uniform(0.0, 2.0 * np.pi, size=(4, 1))
        weights = rng.uniform(0.0, 0.3, size=(4, 1)) / orders
        radius = 1.0 + np.sum(weights * np.cos(orders * angle + phases), axis=0)
    else:
        num_vertices = int(rng.integers(4, 8))
        vertex_radius = rng.uniform(0.75, 1.0, size=num_vertices)
        if shape == "star":
            num_vertices *= 2
            vertex_radius = np.stack(
                [vertex_radius, vertex_radius * rng.uniform(0.55, 0.75)], axis=1
            ).ravel()
        radius = _polygon_radius(angle, vertex_radius)
    return np.roll(radius / radius.max(), rng.integers(_NUM_ANGLES))


def _polygon_radius(angle: FloatArray, vertex_radius: FloatArray) -> FloatArray:
    step = 2.0 * np.pi / len(vertex_radius)
    first = (angle // step).astype(int) % len(vertex_radius)
    offset = angle - first * step
    one, other = vertex_radius[first], vertex_radius[(first + 1) % len(vertex_radius)]
    # Polar equation of the straight edge between two neighbouring vertices.
    return one * other * np.sin(step) / (one * np.sin(offset) + other * np.sin(step - offset))


def rasterise(
    rng: np.random.Generator, region: _Region, rows: FloatArray, columns: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the coverage of each pixel in [0, 1] and its distance to the centre in radii."""
    outline = _outline(rng) * region.radius
    down, right = rows - region.row, columns - region.column
    turn = np.arctan2(down, right) / (2.0 * np.pi)
    edge = outline[(turn * _NUM_ANGLES).astype(int) % _NUM_ANGLES]
    distance = np.hypot(down, right)
    return np.clip((edge - distance) * min(rows.shape) + 0.5, 0.0, 1.0), distance / edge


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> FloatArray:
    """Interpolate normal noise from a `cells` × `cells` grid to the pixels of an image."""
    positions = [(np.arange(n) + 0.5) / n * (cells - 1) for n in size]
    down, across = (
        np.clip(1.0 - np.abs(position[:, None] - np.arange(cells)), 0.0, 1.0)
        for position in positions
    )
    return down @ rng.standard_normal((cells, cells)) @ across.T


def draw_texture(rng: np.random.Generator, size: tuple[int, int], difficulty: float) -> FloatArray:
    """Draw a gentle texture `(H, W, 1)`: coarse and fine mottling and faint stripes."""
    coarse, fine = smooth_noise(rng, size, 6), smooth_noise(rng, size, 24)
    down, across = (np.arange(n) / n for n in size)
    frequency = rng.uniform(10.0, 40.0, size=2) * rng.choice([-1.0, 1.0], size=2)
    stripes = np.sin(frequency[0] * down[:, None] + frequency[1] * across)
    mixture = 0.5 * coarse + 0.5 * fine + rng.uniform(0.0, 1.0) * stripes
    return mix(0.015, 0.06, difficulty) * mixture[..., None]


def _contrasting_colour(
    rng: np.random.Generator, background: FloatArray, difficulty: float
) -> FloatArray:
    direction = rng.standard_normal(3)
    offset = direction / np.linalg.norm(direction) * mix(0.6, 0.22, difficulty)
    offset *= rng.uniform(0.85, 1.15)
    colour = background + offset
    # Mirrored rather than clipped where it leaves the range: clipping would weaken the contrast.
    return np.where((colour < 0.02) | (colour > 0.98), background - offset, colour)


def photograph(
    rng: np.random.Generator,
    rgb: FloatArray,
    rows: FloatArray,
    columns: FloatArray,
    difficulty: float,
) -> NDArray[np.float32]:
    """Light the scene (gain, gradient, colour cast) and add the camera's noise."""
    gain = 1.0 + rng.uniform(-1.0, 1.0) * mix(0.05, 0.3, difficulty)
    cast = 1.0 + rng.uniform(-1.0, 1.0, size=3) * mix(0.03, 0.15, difficulty)
    towards = rng.uniform(0.0, 2.0 * np.pi)
    ramp = np.cos(towards) * (rows - 0.5) + np.sin(towards) * (columns - 0.5)
    light = gain * (1.0 + mix(0.05, 0.5, difficulty) * rng.uniform(0.0, 1.0) * ramp)
    lit = rgb * light[..., None] * cast
    noisy = lit + rng.standard_normal(rgb.shape) * mix(0.005, 0.04, difficulty)
    return (np.round(np.clip(noisy, 0.0, 1.0) * 255.0) / 255.0).astype(np.float32)


def measure_depth(
    rng: np.random.Generator, depth: FloatArray, raised: BoolArray, difficulty: float
) -> NDArray[np.float32]:
    """Add the depth sensor's noise, quantisation and holes (zeros)."""
    noisy = depth + rng.standard_normal(depth.shape) * mix(0.003, 0.03, difficulty)
    num_levels = round(mix(255, 47, difficulty))
    # Valid pixels start at the first level: zero is kept for the invalid ones.
    measured = np.round(np.clip(noisy, 1.0 / num_levels, 1.0) * num_levels) / num_levels

    blotches = smooth_noise(rng, (depth.shape[0], depth.shape[1]), 16)
    measured[blotches > np.quantile(blotches, 1.0 - mix(0.002, 0.04, difficulty))] = 0.0
    # The shadow that a raised region casts in a sensor with two viewpoints, on its right.
    width = int(rng.integers(0, 2 + round(depth.shape[1] * mix(0.0, 0.03, difficulty))))
    shadow = np.zeros_like(raised)
    for shift in range(1, width + 1):
        shadow[:, shift:] |= raised[:, :-shift]
    measured[shadow & ~raised] = 0.0
    return measured.astype(np.float32)
