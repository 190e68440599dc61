"""Reading maps: documented conversions, and an error that names the file for everything else."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.reading.image_files import read_mask
from lightning_modules.evaluation.map_files import (
    MapError,
    pair_maps,
    read_ground_truth,
    read_pair,
    read_prediction,
)

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
    expected = torch.from_numpy(LEVELS.astype(np.float32))[None] / 255
    torch.testing.assert_close(read_prediction(path), expected, rtol=0, atol=1e-7)


def test_16_bits_are_divided_by_65535_and_floats_kept(tmp_path: Path) -> None:
    expected = torch.from_numpy(LEVELS.astype(np.float32))[None] / 255
    sixteen = save(tmp_path, LEVELS.astype(np.uint16) * 257)
    torch.testing.assert_close(read_prediction(sixteen), expected, rtol=0, atol=1e-6)
    floats = save(tmp_path, LEVELS.astype(np.float32) / 255, "map.tiff")
    assert torch.equal(read_prediction(floats), expected)


def test_every_stored_level_is_scored_as_it_is(tmp_path: Path) -> None:
    mask = save(tmp_path, (LEVELS > 128).astype(np.uint8) * 255, "mask.png")
    prediction, truth = read_pair(save(tmp_path, LEVELS), mask)
    assert torch.equal(prediction[0], torch.from_numpy(LEVELS))
    assert torch.equal(truth[0], torch.from_numpy(LEVELS > 128))


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (np.dstack([LEVELS, LEVELS, LEVELS // 2]), "map.png", "colour"),
        (np.dstack([LEVELS] * 4), "map.png", "transparent"),
        (LEVELS.astype(np.uint16), "map.png", "looks like 8-bit levels"),
        (LEVELS.astype(np.float32), "map.tiff", "from 0 to 255, expected 0 to 1"),
        (np.full((4, 4), np.nan, np.float32), "map.tiff", "expected 0 to 1"),
        (np.full((4, 4), -5, np.int32), "map.tiff", "expected 0 to 65535"),
    ],
)
def test_other_maps_are_refused(tmp_path: Path, image: np.ndarray, name: str, words: str) -> None:
    path = save(tmp_path, image, name)
    with pytest.raises(MapError, match=words) as error:
        read_prediction(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not an image"])
@pytest.mark.parametrize("read", [read_prediction, read_ground_truth])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, read) -> None:
    path = tmp_path / "map.png"
    path.write_bytes(content)
    with pytest.raises(MapError, match="cannot be read as an image") as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "image",
    [DISC, DISC // 255, DISC > 0, np.minimum(DISC, 200) + 55 * (DISC > 0), 0 * DISC],
    ids=["0 and 255", "0 and 1", "one bit", "jpeg-like", "empty"],
)
def test_masks_are_read_as_the_data_sets_read_them(tmp_path: Path, image: np.ndarray) -> None:
    path = save(tmp_path, image.astype(bool if image.dtype == bool else np.uint8))
    assert torch.equal(read_ground_truth(path), read_mask(path))


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
    with pytest.raises(MapError, match=words) as error:
        read_ground_truth(path)
    assert str(path) in str(error.value)


def test_a_map_of_the_same_proportions_is_resized(tmp_path: Path) -> None:
    mask = save(tmp_path, np.repeat(np.repeat(DISC, 9, 0), 9, 1), "mask.png")
    prediction, truth = read_pair(save(tmp_path, DISC), mask)
    assert prediction.shape == truth.shape == (1, 144, 180)
    assert ((prediction > 128) == truth).float().mean() > 0.97


@pytest.mark.parametrize("shape", [(20, 16), (16, 16), (16, 22)])
def test_a_map_of_other_proportions_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    mask = save(tmp_path, DISC, "mask.png")
    path = save(tmp_path, np.zeros(shape, np.uint8))
    with pytest.raises(MapError, match="20 x 16 pixels.*other proportions") as error:
        read_pair(path, mask)
    assert f"{path}: {shape[1]} x {shape[0]} pixels" in str(error.value)


def test_formats_may_differ_and_other_files_are_ignored(tmp_path: Path, write_maps) -> None:
    maps = write_maps(tmp_path / "maps", {"b": DISC, "a": DISC}, ".jpg")
    truths = write_maps(tmp_path / "GT", {"a": DISC, "b": DISC}, ".bmp")
    for name in ("notes.txt", "._a.png"):
        (maps / name).write_text("")
    map_set = pair_maps("X", maps, truths, allow_missing=False)
    assert [(stem, a.name, b.name) for stem, a, b in map_set.pairs] == [
        ("a", "a.jpg", "a.bmp"),
        ("b", "b.jpg", "b.bmp"),
    ]


def test_what_is_no_regular_file_or_has_no_name_for_a_table_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "pipe.png")
    with pytest.raises(MapError, match="pipe.png: not a regular file"):
        read_prediction(tmp_path / "a" / "pipe.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x\x1b[2J.png").touch()
    with pytest.raises(MapError, match=r"x\\x1b\[2J.png' holds control characters"):
        pair_maps("SET", tmp_path / "b", tmp_path / "b", allow_missing=False)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.eps").touch()
    with pytest.raises(MapError, match="no images"):
        pair_maps("SET", tmp_path / "c", tmp_path / "c", allow_missing=False)


def test_an_image_of_more_pixels_than_fit_into_memory_is_refused(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(MapError, match="40 x 30 pixels, expected at least one and at most 1000"):
        read_prediction(tmp_path / "a.png")
