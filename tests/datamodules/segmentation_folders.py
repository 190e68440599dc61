"""Made-up data sets for semantic segmentation, in the layouts that circulate."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datamodules import RGBXSegmentationDataModule

SIZE = (48, 64)
STEMS = tuple(f"{number:04d}" for number in range(8))


def label_of(number: int) -> np.ndarray:
    """Return classes 0, 1 and 2 in bands, void on top."""
    label = np.zeros(SIZE, np.uint8)
    label[16:, : 20 + number] = 1
    label[32:, 40:] = 2
    label[:4] = 255
    return label


def add_nyu(root: Path, stems: Sequence[str] = STEMS, name: str = "NYUDepthv2") -> Path:
    """Write the layout of SA-Gate, CMX and DFormer, with HHA and depth in millimetres."""
    folder = root / name
    for subfolder in ("RGB", "Depth", "HHA", "Label"):
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    for number, stem in enumerate(stems):
        label = label_of(number)
        rgb = np.stack([60 * (label == x) + 60 for x in range(3)], -1).astype(np.uint8)
        depth = (1000 + 500 * (label.astype(np.uint16) % 3) + number).astype(np.uint16)
        depth[20:24, 20:24] = 0
        Image.fromarray(rgb).save(folder / "RGB" / f"{stem}.jpg", quality=95)
        Image.fromarray(depth).save(folder / "Depth" / f"{stem}.png")
        hha = generator.integers(0, 256, (*SIZE, 3), np.uint8)
        Image.fromarray(hha).save(folder / "HHA" / f"{stem}.jpg")
        stored = np.where(label == 255, 0, label + 1).astype(np.uint8)
        Image.fromarray(stored).save(folder / "Label" / f"{stem}.png")
    write_list(folder / "train.txt", stems[:5])
    write_list(folder / "test.txt", stems[5:])
    return folder


def write_list(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def module_for(root: Path, **arguments: Any) -> RGBXSegmentationDataModule:
    defaults: dict[str, Any] = {
        "train_splits": ["train.txt"],
        "test_splits": ["test.txt"],
        "image_size": 32,
        "num_workers": 0,
        "batch_size": 2,
    }
    return RGBXSegmentationDataModule(**{"root": str(root), **defaults, **arguments})


def set_up(root: Path, stage: str, **arguments: Any) -> RGBXSegmentationDataModule:
    module = module_for(root, **arguments)
    module.setup(stage)
    return module
