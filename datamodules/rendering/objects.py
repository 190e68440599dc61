"""Objects on the ground: meshes of pybullet's data package, their size, their place."""

import functools
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mutualformer.errors import UserError

# Of the thousand meshes, every fifth is kept for testing, so that no test object was trained on.
_EVERY = 5
_RADIUS = (0.2, 0.32)  # in metres
# Turns that bring the x, y or z axis of a mesh to the vertical.
_UPRIGHT = ((0.0, -np.pi / 2), (np.pi / 2, 0.0), (0.0, 0.0))
_CANDIDATES = 300


class Region(NamedTuple):
    """An object, or what a picture shows: mesh, radius in metres, and where it stands."""

    mesh: Path
    radius: float
    yaw: float
    place: NDArray[np.float64]


def import_pybullet() -> ModuleType:
    """Import pybullet.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pybullet
    except ImportError as error:
        raise UserError(
            "rendering needs pybullet, which is not installed: pip install 'mutualformer[render]'"
        ) from error
    return pybullet


@functools.cache
def list_meshes(split: str) -> list[Path]:
    """Return the meshes of a split: four fifths of all for training, the others for testing.

    Raises:
        UserError: pybullet's data package has none.
    """
    import pybullet_data

    folder = Path(pybullet_data.getDataPath()) / "random_urdfs"
    meshes = sorted(folder.glob("*/*.obj"))
    if not meshes:
        raise UserError(
            f"{folder}: no objects, expected the thousand that pybullet's wheel brings: "
            "pip install --force-reinstall pybullet"
        )
    is_test = [number % _EVERY == 0 for number in range(len(meshes))]
    return [m for m, test in zip(meshes, is_test, strict=True) if test == (split == "test")]


@functools.cache
def read_vertices(mesh: Path) -> NDArray[np.float64]:
    """Return the vertices of a mesh, `(V, 3)`."""
    lines = mesh.read_text(encoding="utf-8").splitlines()
    return np.array([line.split()[1:4] for line in lines if line.startswith("v ")], float)


def draw_regions(
    rng: np.random.Generator, split: str, places: NDArray[np.float64], number: int
) -> list[Region]:
    """Draw regions that do not overlap on the ground, shrinking those that find no room.

    Args:
        rng: what chance is drawn from.
        split: whose meshes.
        places: points of the ground to choose from, `(_, 2)`.
        number: how many.
    """
    meshes = list_meshes(split)
    placed: list[Region] = []
    for radius in np.sort(rng.uniform(*_RADIUS, size=number))[::-1]:
        candidates = places[rng.choice(len(places), _CANDIDATES)]
        room = np.full(_CANDIDATES, radius)
        for other in placed:
            distance = np.hypot(*(candidates - other.place).T)
            room = np.minimum(room, distance - other.radius)
        best = int(room.argmax())
        mesh = meshes[rng.integers(len(meshes))]
        placed.append(Region(mesh, float(room[best]), rng.uniform(0, 2 * np.pi), candidates[best]))
    return placed


def put(pybullet: ModuleType, client: int, region: Region) -> int:
    """Put a white object on the ground, upright by its middle axis; return its id."""
    vertices = read_vertices(region.mesh)
    axis = int(np.argsort(np.ptp(vertices, axis=0))[1])
    orientation = pybullet.getQuaternionFromEuler([*_UPRIGHT[axis], region.yaw])
    rotation = np.reshape(pybullet.getMatrixFromQuaternion(orientation), (3, 3))
    turned = vertices @ rotation.T
    centre = (turned.min(0) + turned.max(0)) / 2
    scale = region.radius / np.hypot(*(turned - centre)[:, :2].T).max()
    shape = pybullet.createVisualShape(
        pybullet.GEOM_MESH,
        fileName=str(region.mesh),
        meshScale=[scale] * 3,
        rgbaColor=[1, 1, 1, 1],
        specularColor=[0, 0, 0],
        physicsClientId=client,
    )
    lowest = np.array([centre[0], centre[1], turned[:, 2].min()])
    position = [*region.place, 0.0] - scale * lowest
    return pybullet.createMultiBody(
        baseVisualShapeIndex=shape,
        basePosition=position,
        baseOrientation=orientation,
        physicsClientId=client,
    )
