"""Synthetic RGB-D scenes whose classes can only be told with both modalities.

Regions on a slanted, textured ground are of four classes:

    class        colour against the ground   depth against the ground
    warm bump    towards red                 nearer
    warm dent    towards red                 farther
    cold bump    towards blue                nearer
    cold dent    towards blue                farther

All regions of a scene are drawn alike (outline, size, position, strength of colour and relief), and
only then dealt their classes. Either modality alone shows where they are, and leaves two classes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import check_at_least
from datamodules.image_size import ImageSize
from datamodules.label_map import LabelMap
from datamodules.synthetic_scenes import (
    SPLITS,
    check_scene_arguments,
    draw_texture,
    measure_depth,
    mix,
    photograph,
    place_regions,
    rasterise,
)
from mutualformer.ignored_label import IGNORED

LABEL_MAP = LabelMap(
    ("ground", "warm bump", "warm dent", "cold bump", "cold dent"),
    void=(IGNORED,),
    colours=((60, 60, 60), (255, 120, 60), (150, 20, 20), (110, 190, 255), (20, 40, 160)),
)
_TOWARDS_RED = np.array([1.0, 0.0, -1.0])
# Of a pixel, so much belongs to a region and so much to the ground where it is neither's.
_AMBIGUOUS = (0.25, 0.75)


class ClassScene(NamedTuple):
    """One scene.

    Attributes:
        rgb: colour image, float32 `(H, W, 3)` in [0, 1].
        depth: depth map, float32 `(H, W)` in [0, 1], near = 1, invalid pixels 0.
        label: uint8 `(H, W)`: classes of `LABEL_MAP`, 255 on the outlines of regions.
    """

    rgb: NDArray[np.float32]
    depth: NDArray[np.float32]
    label: NDArray[np.uint8]


def generate_class_scene(
    seed: int, split: str, index: int, image_size: ImageSize = 128, difficulty: float = 0.5
) -> ClassScene:
    """Generate scene number `index` of a split; arguments and errors as of `generate_scene`.

    >>> scene = generate_class_scene(seed=0, split="train", index=3, image_size=64)
    >>> scene.rgb.shape, scene.depth.shape, scene.label.shape
    ((64, 64, 3), (64, 64), (64, 64))
    """
    size = check_scene_arguments(seed, split, image_size, difficulty)
    check_at_least(0, index=index)
    # Another stream than that of the scenes with one salient object.
    rng = np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(len(SPLITS) + SPLITS.index(split), index))
    )
    rows, columns = np.meshgrid(*((np.arange(n) + 0.5) / n for n in size), indexing="ij")
    fewest, most = 3 + round(difficulty), 5 + round(3 * difficulty)
    regions = place_regions(rng, int(rng.integers(fewest, most + 1)))

    # The plane lies in [0.3, 0.7] and the relief below 0.29, so that nothing is clipped.
    slope = rng.uniform(-0.1, 0.1, size=2)
    depth = rng.uniform(0.4, 0.6) + slope[0] * (rows - 0.5) + slope[1] * (columns - 0.5)
    background = rng.uniform(0.38, 0.62, size=3)
    rgb = background + draw_texture(rng, size, difficulty)
    label = np.zeros(size, np.uint8)
    raised = np.zeros(size, bool)
    for region in regions:
        coverage, relative_radius = rasterise(rng, region, rows, columns)
        strength = rng.uniform(0.85, 1.15, size=2)
        hue = _TOWARDS_RED + rng.uniform(-0.3, 0.3, size=3)
        offset = hue / np.linalg.norm(hue) * strength[0] * mix(0.32, 0.16, difficulty)
        own_texture = draw_texture(rng, size, difficulty)
        roundness = rng.uniform(0.0, 0.5)
        is_cold, is_dent = rng.integers(2, size=2)
        colour = background + (-offset if is_cold else offset)
        relief = strength[1] * mix(0.25, 0.1, difficulty) * (1.0 - roundness * relative_radius**2)
        rgb += coverage[..., None] * (colour + own_texture - rgb)
        inside = coverage >= 0.5
        depth[inside] += (-relief if is_dent else relief)[inside]
        label[inside] = 1 + 2 * is_cold + is_dent
        label[(coverage > _AMBIGUOUS[0]) & (coverage < _AMBIGUOUS[1])] = IGNORED
        if not is_dent:
            raised |= inside
    return ClassScene(
        rgb=photograph(rng, rgb, rows, columns, difficulty),
        depth=measure_depth(rng, depth, raised, difficulty),
        label=label,
    )
