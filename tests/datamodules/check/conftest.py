from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZE = (48, 64)


class DatasetBuilder:
    """Fabricates data sets: textured scenes, no two alike, with an object that is near."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._generator = np.random.default_rng(0)

    def add(
        self, name: str, stems: tuple[str, ...] = ("a", "b", "c"), near: str = "bright"
    ) -> Path:
        folder = self.root / name
        for subfolder in ("RGB", "depth", "GT"):
            (folder / subfolder).mkdir(parents=True, exist_ok=True)
        for stem in stems:
            top, left = self._generator.integers(6, 20, 2)
            mask = np.zeros(SIZE, bool)
            mask[top : top + 20, left : left + 24] = True
            cells = self._generator.integers(0, 256, (6, 8, 3), np.uint8)
            texture = Image.fromarray(cells).resize(SIZE[::-1], Image.Resampling.BICUBIC)
            depth = np.where(mask, 200, 20 + np.arange(SIZE[1])) + np.arange(SIZE[0])[:, None] // 4
            depth = depth if near == "bright" else 255 - depth
            texture.save(folder / "RGB" / f"{stem}.jpg", quality=95)
            Image.fromarray(depth.astype(np.uint8)).save(folder / "depth" / f"{stem}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "GT" / f"{stem}.png")
        return folder


@pytest.fixture
def builder(tmp_path):
    return DatasetBuilder(tmp_path / "data")
