"""A rendered scene whose salient objects can only be told with both modalities.

    region           colour differs from the ground   rises above the ground
    salient object   yes                              yes
    picture          yes                              no
    plain object     no                               yes

All regions of a scene are drawn alike (mesh, place, size, colour, pattern) and only then dealt
their roles. A picture is painted on the ground as seen from the camera, with shading and shadow: in
RGB it looks as an object would, and in depth it is ground.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.rendering.camera import (
    FloatArray,
    draw_camera,
    draw_light,
    ground_points,
    take_picture,
)
from datamodules.rendering.objects import draw_regions, import_pybullet, put
from datamodules.rendering.sensor import measure
from datamodules.rendering.settings import SPLITS, RenderSettings

_GROUND_SIDE = 8.0  # half of it, in metres
_CONTRAST = (0.35, 0.55)  # Euclidean distance of an object's colour from the ground's in RGB
_PATTERN = 0.2  # amplitude, relative to the colour
_GROUND_PATTERN = 0.06
_SMALLEST = 0.008  # visible part of every salient object, as a share of the picture
_ATTEMPTS = 100
_NUM_WAVES = 24


class RenderedScene(NamedTuple):
    """A scene as it is stored, with the regions that made it.

    Attributes:
        rgb: uint8 `(H, W, 3)`.
        depth: uint16 `(H, W)`: 10 000 over the distance along the optical axis in metres, near =
            bright, 0 for no reading.
        salient: visible part of the salient objects, bool `(H, W)`, before any misalignment.
        pictures: visible part of the pictures.
        plain: visible part of the objects in the ground's colour.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    salient: NDArray[np.bool_]
    pictures: NDArray[np.bool_]
    plain: NDArray[np.bool_]


def render_scene(settings: RenderSettings, split: str, index: int) -> RenderedScene:
    """Render scene number `index` of a split: a function of the arguments alone.

    Raises:
        UserError: pybullet is not installed.
    """
    pybullet = import_pybullet()
    sequence = np.random.SeedSequence(settings.seed, spawn_key=(SPLITS.index(split), index))
    for attempt in sequence.spawn(_ATTEMPTS):
        scene = _try_scene(pybullet, settings, split, np.random.default_rng(attempt))
        if scene is not None:
            return scene
    raise RuntimeError(f"scene {index}: no object was visible in {_ATTEMPTS} attempts")


def _try_scene(
    pybullet: ModuleType, settings: RenderSettings, split: str, rng: np.random.Generator
) -> RenderedScene | None:
    """Render a scene, or nothing if a salient object is hidden behind others."""
    camera = draw_camera(pybullet, rng, settings.size)
    light, towards = draw_light(pybullet, rng)
    num_salient, others = int(rng.integers(1, 3)), settings.num_distractors
    places = ground_points(camera, rng.uniform(-0.72, 0.72, (2000, 2)))
    regions = draw_regions(rng, split, places, num_salient + 2 * others)
    # Regions come in order of size.
    order = rng.permutation(len(regions))
    salient, pictures = order[:num_salient], order[num_salient : num_salient + others]

    with _world(pybullet) as client:
        ids = [put(pybullet, client, region) for region in regions]
        painted = take_picture(pybullet, client, camera, light, towards)
        for number in pictures:
            pybullet.removeBody(ids[number], physicsClientId=client)
        real = take_picture(pybullet, client, camera, light, towards)
    # Number of the region at each pixel, -1 for the ground.
    numbers = np.full(max(ids) + 1, -1)
    numbers[ids] = np.arange(len(ids))
    stands = numbers[real.body] >= 0
    seen = np.where(stands, numbers[real.body], numbers[painted.body])
    visible = np.bincount(seen[seen >= 0], minlength=len(regions))
    if visible[salient].min() < _SMALLEST * seen.size:
        return None

    world = np.where(stands[..., None], real.world, painted.world)
    shade = np.where(stands, real.shade, painted.shade)
    is_picture = np.isin(seen, pictures)
    is_salient = np.isin(seen, salient)
    is_plain = (seen >= 0) & ~is_picture & ~is_salient
    albedo = _paint(rng, settings, world, seen, is_plain)
    distance = real.distance + settings.likeness * np.where(
        is_picture, painted.distance - real.distance, 0.0
    )
    rgb, depth = measure(rng, settings, albedo * shade[..., None], distance, seen)
    return RenderedScene(rgb, depth, is_salient, is_picture, is_plain)


@contextmanager
def _world(pybullet: ModuleType) -> Iterator[int]:
    """Open a world with nothing in it but white ground."""
    client = pybullet.connect(pybullet.DIRECT)
    try:
        ground = pybullet.createVisualShape(
            pybullet.GEOM_BOX,
            halfExtents=[_GROUND_SIDE, _GROUND_SIDE, 0.05],
            visualFramePosition=[0, 0, -0.05],
            rgbaColor=[1, 1, 1, 1],
            specularColor=[0, 0, 0],
            physicsClientId=client,
        )
        pybullet.createMultiBody(baseVisualShapeIndex=ground, physicsClientId=client)
        yield client
    finally:
        pybullet.disconnect(client)


def _paint(
    rng: np.random.Generator,
    settings: RenderSettings,
    world: FloatArray,
    seen: NDArray[np.int64],
    is_plain: NDArray[np.bool_],
) -> FloatArray:
    """Return the colour of every surface without light, `(H, W, 3)`."""
    ground = rng.uniform(0.3, 0.7, 3)
    pattern = _waves(rng, world, 0.08) + _waves(rng, world, 0.4)
    albedo = ground * (1 + _GROUND_PATTERN * pattern[..., None])
    share = np.where(is_plain, settings.likeness, 1.0)[..., None]
    angle = np.pi / 2 * settings.gap
    for number in range(seen.max() + 1):
        colour = _contrasting_colour(rng, ground)
        own = _waves(rng, world, 0.06)
        inside = seen == number
        if not inside.any():
            continue
        height = world[..., 2]
        height = (height - height[inside].mean()) / (height[inside].std() + 1e-3)
        mixed = np.cos(angle) * height + np.sin(angle) * own
        painted = colour * (1 + _PATTERN * mixed.clip(-2, 2)[..., None])
        albedo = np.where(inside[..., None], albedo + share * (painted - albedo), albedo)
    return albedo


def _waves(rng: np.random.Generator, world: FloatArray, length: float) -> FloatArray:
    """Return a solid pattern, smooth over `length` metres: about normal, of mean 0, variance 1."""
    frequency = rng.standard_normal((3, _NUM_WAVES)) / length
    phase = rng.uniform(0, 2 * np.pi, _NUM_WAVES)
    return np.cos(world @ frequency + phase).sum(-1) * np.sqrt(2 / _NUM_WAVES)


def _contrasting_colour(rng: np.random.Generator, ground: FloatArray) -> FloatArray:
    colours = rng.uniform(0.08, 0.95, (500, 3))
    distance = np.linalg.norm(colours - ground, axis=1)
    fits = (distance >= _CONTRAST[0]) & (distance <= _CONTRAST[1])
    return colours[int(fits.argmax())]
