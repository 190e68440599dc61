"""Folders of small pairs with masks, in the layout that public data sets have."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_pairs(root: Path, folders: Iterable[str], *, thermal: bool = False) -> Path:
    """Write three RGB-D pairs, or RGB-T pairs with false colours, into each folder of a root."""
    generator = np.random.default_rng(0)
    for folder in folders:
        for index in range(3):
            mask = np.zeros((40, 52), np.uint8)
            mask[8:28, 10 : 30 + index] = 255
            rgb, colours = generator.integers(0, 256, (2, *mask.shape, 3), np.uint8)
            second = {"T": colours} if thermal else {"depth": colours[..., 0]}
            for name, image in {"RGB": rgb, **second, "GT": mask}.items():
                (root / folder / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(root / folder / name / f"{index}.png")
    return root
