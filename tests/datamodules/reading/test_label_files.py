"""Label images by an explicit map, and files that are no label images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.label_map import LabelMap, read_label_map
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.label_files import read_label

MAP = LabelMap(("wall", "bed", "lamp"), void=(0,), offset=1)
STORED = np.array([[0, 1, 2], [3, 3, 1]], np.uint8)
CLASSES = [[255, 0, 1], [2, 2, 0]]


def palette_image(values: np.ndarray) -> Image.Image:
    image = Image.frombytes("P", values.shape[::-1], values.tobytes())
    image.putpalette([255 - x for x in range(256) for _ in range(3)])
    return image


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("grey.png", Image.fromarray(STORED)),
        ("palette.png", palette_image(STORED)),
        ("wide.png", Image.fromarray(STORED.astype(np.uint16))),
        ("integers.tif", Image.fromarray(STORED.astype(np.int32))),
        ("grey.bmp", Image.fromarray(STORED)),
    ],
)
def test_values_are_read_by_the_map_and_colours_of_a_palette_do_not_count(
    tmp_path: Path, name: str, image: Image.Image
) -> None:
    image.save(tmp_path / name)
    cache = DecodedImageCache(tmp_path / "cache")
    for _ in range(2):
        classes = read_label(tmp_path / name, MAP, cache)
        assert classes.dtype == np.uint8 and classes.tolist() == CLASSES
    np.save(tmp_path / "label.npy", STORED.astype(np.int64))
    assert read_label(tmp_path / "label.npy", MAP).tolist() == CLASSES


def test_a_mask_of_one_bit_has_two_classes(tmp_path: Path) -> None:
    Image.fromarray(STORED > 1).save(tmp_path / "a.png")
    two = LabelMap(("ground", "pipe"))
    assert read_label(tmp_path / "a.png", two).tolist() == (STORED > 1).astype(int).tolist()


@pytest.mark.parametrize(
    ("values", "label_map", "message"),
    [
        ([[4, 1], [1, 1]], MAP, "4 in 25.00% of its pixels is unknown, .* values 1 to 3 are the 3"),
        ([[9, 1], [9, 8]], MAP, "the value 8 in 25.00%, 9 in 50.00%"),
        ([[255, 0], [1, 2]], MAP, "255 in 25.00% .*255 is void where classes begin at 0"),
        ([[255, 0], [1, 2]], LabelMap(("a", "b", "c")), "none is void .if 255 is void, say so"),
        ([[1, 2], [3, 2]], LabelMap(("a", "b", "c")), "classes may begin one value higher"),
        ([[0, 2], [3, 2]], LabelMap(("a", "b", "c"), offset=1), "begin one value lower"),
        ([[300, 1], [1, 1]], MAP, "300 in 25.00%"),
    ],
)
def test_an_unknown_value_is_told_with_its_share_and_what_may_be_meant(
    tmp_path: Path, values: list, label_map: LabelMap, message: str
) -> None:
    array = np.array(values)
    path = tmp_path / "0007.png"
    Image.fromarray(array.astype(np.uint16 if array.max() > 255 else np.uint8)).save(path)
    with pytest.raises(DataError, match=f"0007.png: .*{message}"):
        read_label(path, label_map)


def test_labels_of_several_channels_say_what_they_look_like(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    colours = MAP.palette[np.array(CLASSES)]
    for image, message in (
        (colours, "the 4 colours of the map's palette in three channels"),
        (np.repeat(STORED[..., None], 3, -1), "the same grey value in three channels"),
        (colours + 1, "4 colours in three or more channels.*translate colours"),
        (
            np.dstack([colours, colours[..., :1]]),
            "the 4 colours of the map's palette in three channels",
        ),
    ):
        Image.fromarray(image.astype(np.uint8)).save(path)
        with pytest.raises(DataError, match=f"0.png: {message}"):
            read_label(path, MAP)


def test_files_that_can_be_no_labels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(STORED).save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="a JPEG file, which changes values"):
        read_label(tmp_path / "a.jpg", MAP)
    Image.fromarray(STORED.astype(np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match="values from 0 to 3 of type float32"):
        read_label(tmp_path / "b.tif", MAP)
    np.save(tmp_path / "c.npy", STORED.astype(np.float32))
    with pytest.raises(DataError, match="array of shape .* and type float32, expected integers"):
        read_label(tmp_path / "c.npy", MAP)
    (tmp_path / "d.png").write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        read_label(tmp_path / "d.png", MAP)


def test_the_real_labels_of_nyu_are_read(shared: Path, tmp_path: Path) -> None:
    """The 654 test maps, as their 40 classes circulate."""
    import tarfile

    archive = shared / "data" / "rgbd_seg" / "nyuv2_test_class40.tgz"
    if not archive.is_file():
        pytest.skip("the labels of NYUDepthv2 are not beside this repository")
    nyu, counts = read_label_map("nyu40"), np.zeros(256, np.int64)
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    paths = sorted(tmp_path.glob("**/*.png"))
    assert len(paths) == 654
    for path in paths[::6]:  # all of them take ten seconds
        classes = read_label(path, nyu)
        assert classes.shape == (480, 640)
        counts += np.bincount(classes.ravel(), minlength=256)
    assert 0.15 < counts[255] / counts.sum() < 0.19  # 17.1 % of all
    assert nyu.classes[int(counts[:40].argmax())] == "wall"
    with pytest.raises(DataError, match="is unknown"):
        for path in paths:
            read_label(path, read_label_map("nyu40_from_0"))
