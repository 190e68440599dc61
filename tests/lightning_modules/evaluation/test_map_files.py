"""Pairs of maps and ground truths: which files belong together, and which sizes fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.errors import DataError
from lightning_modules.evaluation.map_files import pair_maps, read_pair

LEVELS = np.arange(256, dtype=np.uint8).reshape(8, 32)
DISC = (np.hypot(*np.ogrid[-8:8, -10:10]) < 6).astype(np.uint8) * 255


def save(folder: Path, image: Image.Image | np.ndarray, name: str = "map.png") -> Path:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(folder / name)
    return folder / name


def test_every_stored_level_is_scored_as_it_is(tmp_path: Path) -> None:
    mask = save(tmp_path, (LEVELS > 128).astype(np.uint8) * 255, "mask.png")
    prediction, truth = read_pair(save(tmp_path, LEVELS), mask)
    assert torch.equal(prediction[0], torch.from_numpy(LEVELS))
    assert torch.equal(truth[0], torch.from_numpy(LEVELS > 128))


def test_a_map_of_the_same_proportions_is_resized(tmp_path: Path) -> None:
    mask = save(tmp_path, np.repeat(np.repeat(DISC, 9, 0), 9, 1), "mask.png")
    prediction, truth = read_pair(save(tmp_path, DISC), mask)
    assert prediction.shape == truth.shape == (1, 144, 180)
    assert ((prediction > 128) == truth).float().mean() > 0.97


@pytest.mark.parametrize("shape", [(20, 16), (16, 16), (16, 22)])
def test_a_map_of_other_proportions_is_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    mask = save(tmp_path, DISC, "mask.png")
    path = save(tmp_path, np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match="expected the proportions of .*20 x 16 pixels") as error:
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


def test_names_that_no_table_can_hold_and_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x\x1b[2J.png").touch()
    with pytest.raises(DataError, match=r"control characters .*\('x\\x1b\[2J.png'\)"):
        pair_maps("SET", tmp_path / "b", tmp_path / "b", allow_missing=False)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.eps").touch()
    with pytest.raises(DataError, match="no images"):
        pair_maps("SET", tmp_path / "c", tmp_path / "c", allow_missing=False)


@pytest.mark.parametrize(
    ("maps", "masks", "endings"),
    [
        (["1", "2"], ["1", "2"], []),
        (["1_ICON", "2_ICON"], ["1", "2"], ["_ICON"]),
        (["1.jpg", "2.jpg"], ["1", "2"], [".jpg"]),
        (["1_A_sal", "2_B_sal"], ["1_A_GT", "2_B_GT"], ["_sal", "_GT"]),
        (["a_b-x", "c_b-x"], ["a_b", "c_b"], ["-x"]),
        (["1_ICON"], ["1"], ["_ICON"]),
    ],
)
def test_an_ending_that_all_files_share_is_left_out_of_names(
    tmp_path: Path, maps: list[str], masks: list[str], endings: list[str]
) -> None:
    for name, stems in (("maps", maps), ("masks", masks)):
        (tmp_path / name).mkdir()
        for stem in stems:
            save(tmp_path / name, DISC, f"{stem}.png")
    found = pair_maps("SET", tmp_path / "maps", tmp_path / "masks", allow_missing=False)
    assert [(a.stem, b.stem) for _, a, b in found.pairs] == list(zip(maps, masks, strict=True))
    assert found.endings == endings


@pytest.mark.parametrize("maps", [["10", "20"], ["1_ICON", "2_OTHER"], ["x1", "x2"]])
def test_other_names_are_not_guessed(tmp_path: Path, maps: list[str]) -> None:
    for name, stems in (("maps", maps), ("masks", ["1", "2"])):
        (tmp_path / name).mkdir()
        for stem in stems:
            save(tmp_path / name, DISC, f"{stem}.png")
    with pytest.raises(DataError, match="no file stem in common"):
        pair_maps("SET", tmp_path / "maps", tmp_path / "masks", allow_missing=False)


def test_of_pairs_without_an_ending_the_missing_ones_are_named(tmp_path: Path) -> None:
    for name, stems in (("maps", ["1_A", "2_A"]), ("masks", ["1", "2", "3"])):
        (tmp_path / name).mkdir()
        for stem in stems:
            save(tmp_path / name, DISC, f"{stem}.png")
    with pytest.raises(DataError, match=r"1 of 3 ground truths in .* have no prediction"):
        pair_maps("SET", tmp_path / "maps", tmp_path / "masks", allow_missing=False)
