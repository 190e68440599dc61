import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.reading.image_files import read_mask, read_rgb, read_values
from datamodules.reading.open_image import read_size

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4)


def save(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_colour_images_of_any_mode(tmp_path, mode):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 3), (255, 255, 0)).convert(mode).save(path)
    rgb = read_rgb(path)
    assert rgb.shape == (3, 3, 4) and rgb.dtype == np.uint8
    assert rgb[:, 0, 0].tolist() == ([226, 226, 226] if mode == "L" else [255, 255, 0])


def test_size_is_height_and_width(tmp_path):
    assert read_size(save(tmp_path / "a.png", RAMP)) == (3, 4)


EXPECTED_MASK = RAMP > 5


@pytest.mark.parametrize(
    "values",
    [EXPECTED_MASK, EXPECTED_MASK.astype(np.uint8), EXPECTED_MASK.astype(np.uint8) * 255],
    ids=["one bit", "0 and 1", "0 and 255"],
)
def test_masks_in_every_binary_form(tmp_path, values):
    mask = read_mask(save(tmp_path / "a.png", values))
    assert mask.dtype == np.bool_ and mask.shape == (1, 3, 4)
    np.testing.assert_array_equal(mask[0], EXPECTED_MASK)


def test_jpeg_mask_is_thresholded_at_its_soft_edges(tmp_path):
    expected = np.zeros((100, 100), bool)
    expected[20:70, 30:80] = True
    mask = read_mask(save(tmp_path / "a.jpg", expected.astype(np.uint8) * 255, quality=75))
    assert (mask[0] != expected).mean() < 0.005


@pytest.mark.parametrize("value", [0, 255])
def test_empty_and_full_masks(tmp_path, value):
    mask = read_mask(save(tmp_path / "a.png", np.full_like(RAMP, value)))
    assert mask.all() if value else not mask.any()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        np.where(np.arange(400).reshape(20, 20) < 4, 128, 0).astype(np.uint8),
    ],
    ids=["many grey values", "a small object in grey"],
)
def test_masks_that_are_not_binary(tmp_path, values):
    with pytest.raises(DataError, match="a.png: not a binary mask, .*% .* threshold it"):
        read_mask(save(tmp_path / "a.png", values))


def test_16_bit_mask(tmp_path):
    with pytest.raises(DataError, match="a.png: a mask .* mode I;16, expected 1 or 8 bits"):
        read_mask(save(tmp_path / "a.png", RAMP.astype(np.uint16)))


@pytest.mark.parametrize("read", [read_rgb, read_values, read_mask])
@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif"])
def test_truncated_file(tmp_path, read, extension):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    path = save(tmp_path / f"a.{extension}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\.{extension}: cannot be read as an image"):
        read(path)


@pytest.mark.parametrize("read", [read_size, read_rgb, read_values, read_mask])
def test_files_that_are_no_images(tmp_path, read):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(DataError, match=r"empty.png: cannot be .* \(the file is empty\)"):
        read(tmp_path / "empty.png")
    with pytest.raises(DataError, match="text.png: cannot be read as an image"):
        read(tmp_path / "text.png")
    with pytest.raises(DataError, match="gone.png: cannot be read as an image"):
        read(tmp_path / "gone.png")
