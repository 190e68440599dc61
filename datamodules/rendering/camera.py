"""The camera and the light: what is seen of the world where, how bright, how far."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NEAR, _FAR = 0.3, 12.0  # metres
_FIELD_OF_VIEW = 40.0  # degrees, across the larger side
_LIGHT_DISTANCE = 8.0
_LIGHT_VIEW = 34.0  # degrees
_SHADOW_SIDE = 256
_SHADOW_BIAS = 0.03  # metres, more than the steps of the shadow map on a slope
_AMBIENT, _DIFFUSE = 0.45, 0.55


class View(NamedTuple):
    """Where a camera is: view and projection, 4 × 4, and the size of its picture."""

    view: FloatArray
    projection: FloatArray
    size: tuple[int, int]


class Picture(NamedTuple):
    """What a camera sees.

    Attributes:
        shade: brightness of a white surface, in [0, 1], `(H, W)`.
        distance: along the optical axis in metres, `(H, W)`.
        world: point of the world, `(H, W, 3)`.
        body: id of the body, `(H, W)`.
    """

    shade: FloatArray
    distance: FloatArray
    world: FloatArray
    body: NDArray[np.int64]


def draw_camera(pybullet: ModuleType, rng: np.random.Generator, size: tuple[int, int]) -> View:
    """Draw a camera that looks down at the origin, so that ground fills the picture."""
    elevation, azimuth = np.radians(rng.uniform(42, 68)), rng.uniform(0, 2 * np.pi)
    eye = rng.uniform(2.3, 2.8) * direction(elevation, azimuth)
    roll = np.radians(rng.uniform(-8, 8))
    aside = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    up = np.cos(roll) * np.array([0.0, 0.0, 1.0]) + np.sin(roll) * aside
    return _look(pybullet, eye, up, _FIELD_OF_VIEW, size)


def draw_light(pybullet: ModuleType, rng: np.random.Generator) -> tuple[View, FloatArray]:
    """Draw a lamp far away; returns its view, and the direction to it."""
    towards = direction(np.radians(rng.uniform(40, 70)), rng.uniform(0, 2 * np.pi))
    up = np.array([0.0, 0.0, 1.0])
    side = (_SHADOW_SIDE, _SHADOW_SIDE)
    return _look(pybullet, _LIGHT_DISTANCE * towards, up, _LIGHT_VIEW, side), towards


def direction(elevation: float, azimuth: float) -> FloatArray:
    """Return the unit vector of two angles in radians."""
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])


def ground_points(view: View, pixels: FloatArray) -> FloatArray:
    """Return where the rays through points `(_, 2)` of the picture, in [−1, 1], meet the ground."""
    inverse = np.linalg.inv(view.projection @ view.view)
    ends = []
    for depth in (-1.0, 1.0):
        clip = np.column_stack([pixels, np.full(len(pixels), depth), np.ones(len(pixels))])
        point = clip @ inverse.T
        ends.append(point[:, :3] / point[:, 3:])
    near, far = ends
    share = near[:, 2:] / (near[:, 2:] - far[:, 2:])
    return (near + share * (far - near))[:, :2]


def take_picture(
    pybullet: ModuleType, client: int, camera: View, light: View, towards: FloatArray
) -> Picture:
    """Render what is there now.

    Shadows come from a second picture, from the light: those of pybullet's renderer on a CPU leave
    out the ground and come and go with the distance of the light.
    """
    colour, distance, body = _render(pybullet, client, camera, towards)
    world = _unproject(camera, distance)
    _, lit_distance, _ = _render(pybullet, client, light, towards)
    to_light = np.concatenate([world, np.ones((*distance.shape, 1))], axis=-1) @ light.view.T
    clip = to_light @ light.projection.T
    side = _SHADOW_SIDE
    column = ((clip[..., 0] / clip[..., 3] + 1) / 2 * side).astype(int)
    row = ((1 - clip[..., 1] / clip[..., 3]) / 2 * side).astype(int)
    # Objects lie within the map, and so do their shadows.
    known = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    nearest = np.where(known, lit_distance[row * known, column * known], np.inf)
    is_dark = -to_light[..., 2] > nearest + _SHADOW_BIAS
    return Picture(np.where(is_dark, _AMBIENT, colour), distance, world, body)


def _look(
    pybullet: ModuleType, eye: FloatArray, up: FloatArray, angle: float, size: tuple[int, int]
) -> View:
    view = pybullet.computeViewMatrix(eye, [0, 0, 0], up)
    height, width = size
    half = np.tan(np.radians(angle / 2)) * height / max(size)
    vertical = 2 * np.degrees(np.arctan(half))
    projection = pybullet.computeProjectionMatrixFOV(vertical, width / height, _NEAR, _FAR)
    # pybullet lists columns.
    return View(np.reshape(view, (4, 4)).T, np.reshape(projection, (4, 4)).T, size)


def _render(
    pybullet: ModuleType, client: int, view: View, towards: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    height, width = view.size
    _, _, colour, depth, body = pybullet.getCameraImage(
        width,
        height,
        view.view.T.ravel(),
        view.projection.T.ravel(),
        lightDirection=towards,
        lightColor=[1, 1, 1],
        lightAmbientCoeff=_AMBIENT,
        lightDiffuseCoeff=_DIFFUSE,
        lightSpecularCoeff=0,
        shadow=0,
        renderer=pybullet.ER_TINY_RENDERER,
        physicsClientId=client,
    )
    shade = np.reshape(colour, (height, width, 4))[..., 0] / 255
    depth = np.reshape(depth, (height, width)).astype(float)
    distance = _NEAR * _FAR / (_FAR - (_FAR - _NEAR) * depth)
    return shade, distance, np.reshape(body, (height, width)).astype(np.int64)


def _unproject(view: View, distance: FloatArray) -> FloatArray:
    height, width = view.size
    across = (np.arange(width) + 0.5) / width * 2 - 1
    upwards = 1 - (np.arange(height) + 0.5) / height * 2
    x, y = np.meshgrid(across, upwards)
    seen = np.stack(
        [
            x * distance / view.projection[0, 0],
            y * distance / view.projection[1, 1],
            -distance,
            np.ones_like(distance),
        ],
        axis=-1,
    )
    return (seen @ np.linalg.inv(view.view).T)[..., :3]
