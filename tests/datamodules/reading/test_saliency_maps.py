"""Saliency maps and masks of any origin: documented conversions, one answer for every reader."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import RGBDSaliencyDataModule
from datamodules.check import check_root
from datamodules.errors import DataError
from datamodules.reading.image_files import read_mask, read_saliency_map
from lightning_modules.evaluation.map_files import read_pair
from lightning_modules.main import main

LEVELS = np.arange(256, dtype=np.uint8).reshape(8, 32)
DISC = (np.hypot(*np.ogrid[-8:8, -10:10]) < 6).astype(np.uint8) * 255


def save(folder: Path, image: Image.Image | np.ndarray, name: str = "map.png") -> Path:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(folder / name)
    return folder / name


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK"])
def test_grey_images_of_any_mode_keep_their_levels(tmp_path: Path, mode: str) -> None:
    name = "map.tif" if mode == "CMYK" else "map.png"
    path = save(tmp_path, Image.fromarray(LEVELS).convert(mode), name)
    assert np.array_equal(read_saliency_map(path), LEVELS[None])


def test_16_bits_are_divided_by_65535_and_floats_kept(tmp_path: Path) -> None:
    expected = LEVELS.astype(np.float32)[None] / 255
    sixteen = save(tmp_path, LEVELS.astype(np.uint16) * 257)
    np.testing.assert_allclose(read_saliency_map(sixteen), expected, rtol=0, atol=1e-6)
    floats = save(tmp_path, LEVELS.astype(np.float32) / 255, "map.tiff")
    assert np.array_equal(read_saliency_map(floats), expected)


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (np.dstack([LEVELS, LEVELS, LEVELS // 2]), "map.png", "colour"),
        (np.dstack([LEVELS] * 4), "map.png", "transparent"),
        (LEVELS.astype(np.uint16), "map.png", "looks like 8-bit levels"),
        (LEVELS.astype(np.float32), "map.tiff", "from 0 to 255, expected 0 to 1"),
        (np.full((4, 4), np.nan, np.float32), "map.tiff", "NaN or infinite values"),
        (np.full((4, 4), -5, np.int32), "map.tiff", "expected 0 to 65535"),
    ],
)
def test_other_maps_are_refused(tmp_path: Path, image: np.ndarray, name: str, words: str) -> None:
    path = save(tmp_path, image, name)
    with pytest.raises(DataError, match=words) as error:
        read_saliency_map(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not an image"])
@pytest.mark.parametrize("read", [read_saliency_map, read_mask])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, read) -> None:
    path = tmp_path / "map.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as an image") as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "image",
    [DISC, DISC // 255, DISC > 0, np.minimum(DISC, 200) + 55 * (DISC > 0), 0 * DISC],
    ids=["0 and 255", "0 and 1", "one bit", "jpeg-like", "empty"],
)
def test_masks_are_scored_as_the_data_sets_read_them(tmp_path: Path, image: np.ndarray) -> None:
    path = save(tmp_path, image.astype(bool if image.dtype == bool else np.uint8), "mask.png")
    assert np.array_equal(read_pair(save(tmp_path, DISC), path)[1], read_mask(path))
    assert np.array_equal(read_mask(path)[0], (DISC > 0) & image.any())


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (LEVELS, "not a binary mask"),
        (DISC.astype(np.uint16) * 257, "1 or 8 bits"),
        (np.dstack([DISC, DISC, 0 * DISC]), "colour"),
    ],
)
def test_other_ground_truths_are_refused(tmp_path: Path, image: np.ndarray, words: str) -> None:
    path = save(tmp_path, image)
    with pytest.raises(DataError, match=words) as error:
        read_mask(path)
    assert str(path) in str(error.value)


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe.png")
    with pytest.raises(DataError, match="pipe.png: no regular file"):
        read_saliency_map(tmp_path / "a" / "pipe.png")


def test_an_image_of_more_pixels_than_fit_into_memory_is_refused(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match="30 × 40 pixels .*expected at most 1000"):
        read_saliency_map(tmp_path / "a.png")


@pytest.fixture
def three_classes(tmp_path: Path) -> Path:
    """Return a data set of two pairs whose second mask holds an area of a third class."""
    for folder in ("RGB", "depth", "GT", "maps"):
        (tmp_path / "Mine" / folder).mkdir(parents=True)
    for stem in "ab":
        mask = np.zeros((60, 80), np.uint8)
        mask[10:40, 10:50] = 255
        if stem == "b":
            mask[45:55, 60:75] = 128
        for folder in ("GT", "maps"):
            save(tmp_path / "Mine" / folder, mask, f"{stem}.png")
        save(tmp_path / "Mine" / "depth", mask // 2 + np.arange(80, dtype=np.uint8), f"{stem}.png")
        save(tmp_path / "Mine" / "RGB", np.dstack([mask, mask, 255 - mask]), f"{stem}.png")
    return tmp_path / "Mine"


def test_a_third_class_has_one_answer_whoever_reads_the_mask(
    three_classes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = three_classes / "GT" / "b.png"
    words = f"{path}: not a binary mask, areas of it hold the value 128; expected 0 and 255 alone"
    with pytest.raises(SystemExit, match="2"):
        folders = [str(three_classes / "maps"), "--ground-truth", str(path.parent)]
        main(["evaluate", "--predictions", *folders])
    printed = capfd.readouterr()
    assert f"error: {words}" in printed.err and not printed.out.strip()

    report = check_root(three_classes.parent)
    assert any(words in finding.message and finding.is_error for finding in report.findings)

    data = RGBDSaliencyDataModule(root=str(three_classes.parent), test_sets=["Mine"], image_size=32)
    data.setup("test")
    with pytest.raises(DataError) as error:
        list(data.test_datasets[0])
    assert str(error.value).startswith(words)
