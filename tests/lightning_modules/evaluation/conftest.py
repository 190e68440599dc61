"""Folders of saliency maps and ground truths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_maps(folder: Path, images: dict[str, np.ndarray], suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}{suffix}")
    return folder


def fabricate(num_images: int, noise: int = 130, seed: int = 0) -> tuple[dict, dict]:
    """Return predictions and ground truths by name: noisy discs of several sizes."""
    generator = np.random.default_rng(seed)
    maps, masks = {}, {}
    for index in range(num_images):
        height, width = 30 + 3 * index, 40
        rows, columns = np.ogrid[:height, :width]
        mask = (rows - 12) ** 2 + (columns - 15 - index) ** 2 < (5 + index) ** 2
        values = 90 * mask + generator.integers(0, noise + 1, mask.shape)
        maps[f"image_{index}"] = values.clip(0, 255).astype(np.uint8)
        masks[f"image_{index}"] = mask.astype(np.uint8) * 255
    return maps, masks


@pytest.fixture(name="write_maps")
def write_maps_fixture():
    return write_maps


@pytest.fixture(name="fabricate")
def fabricate_fixture():
    return fabricate


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """Return a folder holding `maps` and `SET/GT`, five pairs."""
    predictions, ground_truths = fabricate(5)
    write_maps(tmp_path / "maps", predictions)
    write_maps(tmp_path / "SET" / "GT", ground_truths)
    return tmp_path
