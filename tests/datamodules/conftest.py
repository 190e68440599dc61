from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class FolderBuilder:
    """Fabricates data sets in a temporary folder: a bright square, near in depth, is the object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        name: str = "NLPR",
        stems: tuple[str, ...] = ("a", "b", "c"),
        size: tuple[int, int] = (48, 64),
        masks: bool = True,
    ) -> Path:
        folder = self.root / name
        for subfolder in ("RGB", "depth") + (("GT",) if masks else ()):
            (folder / subfolder).mkdir(parents=True, exist_ok=True)
        for number, stem in enumerate(stems):
            mask = np.zeros(size, bool)
            mask[10 : 30 + number, 12:40] = True
            rgb = np.where(mask[..., None], [220, 200, 40], [30, 60, 90]).astype(np.uint8)
            depth = np.where(mask, 200, 20 + np.arange(size[1]) // 2).astype(np.uint8)
            Image.fromarray(rgb).save(folder / "RGB" / f"{stem}.jpg", quality=95)
            Image.fromarray(depth).save(folder / "depth" / f"{stem}.png")
            if masks:
                Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "GT" / f"{stem}.png")
        return folder


@pytest.fixture
def folders(tmp_path):
    return FolderBuilder(tmp_path)


@pytest.fixture(scope="session")
def real_data():
    """The eight real triples, kept beside the repository because they may not be redistributed."""
    root = Path(__file__).parents[2] / "../shared/data/rgbd_sod"
    if not root.is_dir():
        pytest.skip("the real RGB-D triples are not beside this checkout (../shared/data/rgbd_sod)")
    return root
