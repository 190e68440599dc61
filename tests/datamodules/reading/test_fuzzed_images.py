"""Damaged images of every format, through the readers of the data sets."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from mutations import fuzz, memory_limit, mend_png, mutate_bytes, time_limit
from PIL import Image

from datamodules.check import check_root, draw_contact_sheet
from datamodules.errors import DataError
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader, ImageReader
from datamodules.reading.image_files import read_mask, read_rgb
from datamodules.reading.open_image import read_size

SIZE = (24, 32)
ROWS, COLUMNS = np.ogrid[: SIZE[0], : SIZE[1]]
OBJECT = (ROWS - 11) ** 2 + (COLUMNS - 15) ** 2 < 60
RAMP = (40 + 4 * COLUMNS + 2 * ROWS + 60 * OBJECT).astype(np.uint8)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


def encoded(values: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(file, **options)
    return file.getvalue()


def exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


RGB_FILES = {
    "jpg": encoded(COLOURS, format="JPEG"),
    "progressive.jpg": encoded(COLOURS, format="JPEG", progressive=True, quality=95),
    "turned.jpg": encoded(COLOURS, format="JPEG", exif=exif()),
    "cmyk.jpg": encoded(COLOURS, "CMYK", format="JPEG"),
    "png": encoded(COLOURS, format="PNG"),
    "palette.png": encoded(COLOURS, "P", format="PNG"),
    "alpha.png": encoded(COLOURS, "RGBA", format="PNG", exif=exif()),
    "bmp": encoded(COLOURS, format="BMP"),
    "tif": encoded(COLOURS, format="TIFF"),
    "lzw.tif": encoded(COLOURS, format="TIFF", compression="tiff_lzw"),
    "jpeg.tif": encoded(COLOURS, format="TIFF", compression="jpeg"),
}
DEPTH_FILES = {
    "png": encoded(RAMP, format="PNG"),
    "16.png": encoded(RAMP.astype(np.uint16) * 200, format="PNG"),
    "16.tif": encoded(RAMP.astype(np.uint16) * 200, format="TIFF"),
    "float.tif": encoded(RAMP.astype(np.float32) / 7, format="TIFF"),
    "deflate.tif": encoded(RAMP.astype(np.int32), format="TIFF", compression="tiff_deflate"),
    "jpg": encoded(RAMP, format="JPEG"),
    "grey.bmp": encoded(RAMP, format="BMP"),
    "grey.png": encoded(RAMP, "RGB", format="PNG"),
}
MASK_FILES = {
    "png": encoded(OBJECT.astype(np.uint8) * 255, format="PNG"),
    "one.png": encoded(OBJECT.astype(np.uint8), format="PNG"),
    "bit.png": encoded(OBJECT.astype(np.uint8) * 255, "1", format="PNG"),
    "palette.png": encoded(OBJECT.astype(np.uint8) * 255, "P", format="PNG"),
    "jpg": encoded(OBJECT.astype(np.uint8) * 255, format="JPEG", quality=95),
    "bmp": encoded(OBJECT.astype(np.uint8) * 255, "1", format="BMP"),
    "fax.tif": encoded(OBJECT.astype(np.uint8) * 255, "1", format="TIFF", compression="group4"),
}
EVERYTHING = [*RGB_FILES.values(), *DEPTH_FILES.values(), *MASK_FILES.values()]


def is_mistake(error: Exception) -> bool:
    return isinstance(error, DataError)


def mutated(files: dict[str, bytes], rng: random.Random) -> bytes:
    changed = mutate_bytes(rng.choice(list(files.values())), rng, EVERYTHING)
    return mend_png(changed) if rng.random() < 0.7 else changed


def check_rgb(path: Path) -> None:
    image = read_rgb(path)
    assert image.dtype == np.uint8 and image.shape == (3, *read_size(path))


def check_depth(path: Path) -> None:
    for reader in (DepthReader([]), DepthReader([""], "both"), DepthReader([], "none", (3.0, 90))):
        depth = reader(path, "")
        assert depth.dtype == np.float32 and depth.shape == (1, *read_size(path))
        assert depth.min() >= 0 and depth.max() <= 1  # false for NaN


def check_thermal(path: Path) -> None:
    image = ImageReader(3)(path, "")
    assert image.dtype == np.float32 and image.shape == (3, *read_size(path))
    assert image.min() >= 0 and image.max() <= 1


def check_mask(path: Path) -> None:
    mask = read_mask(path)
    assert mask.dtype == np.bool_ and mask.shape == (1, *read_size(path))


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    ("files", "check", "count"),
    [
        (RGB_FILES, check_rgb, 500),
        (DEPTH_FILES, check_depth, 500),
        (DEPTH_FILES | RGB_FILES, check_thermal, 200),
        (MASK_FILES, check_mask, 500),
    ],
    ids=["rgb", "depth", "thermal", "mask"],
)
def test_a_damaged_image_is_read_rightly_or_named(tmp_path, files, check, count) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        check(tmp_path / name)
    (tmp_path / "damaged").mkdir()
    num_read, num_refused = fuzz(
        count,
        tmp_path / "damaged" / "image",
        lambda rng: mutated(files, rng),
        check,
        is_mistake,
    )
    assert min(num_read, num_refused) > count // 20


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning:PIL")
def test_data_check_ends_on_any_damaged_files(tmp_path) -> None:
    rng = random.Random(0)
    for folder, files in (("RGB", RGB_FILES), ("depth", DEPTH_FILES), ("GT", MASK_FILES)):
        (tmp_path / "mine" / folder).mkdir(parents=True)
        for number in range(60):
            suffix = rng.choice(("png", "jpg", "tif", "bmp"))
            path = tmp_path / "mine" / folder / f"{number}.{suffix}"
            path.write_bytes(mutated(files, rng))
    with time_limit(60), memory_limit():
        report = check_root(tmp_path)
        page = draw_contact_sheet(report, samples_per_dataset=60)
    assert page.width > 0
    assert len(report.datasets[0].samples) == 60 and report.num_errors > 20
    for finding in report.findings:
        assert str(tmp_path) in finding.message


def test_a_damaged_cache_is_not_served(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(RGB_FILES["png"])
    expected = read_rgb(path)
    cache = DecodedImageCache(tmp_path / "cache")
    read_rgb(path, cache)
    (stored,) = (tmp_path / "cache").rglob("*.npy")
    whole = stored.read_bytes()
    header = whole.index(b"\n") + 1
    for number in range(500):
        rng = random.Random(number)
        # The pixels themselves carry no checksum.
        stored.write_bytes(mutate_bytes(whole[:header], rng) + whole[header:])
        with time_limit():
            image = read_rgb(path, cache)
        assert image.dtype == np.uint8, number
        assert image.shape == expected.shape, number
