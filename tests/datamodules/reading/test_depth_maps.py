"""Depth maps as the network gets them, from files as they are found."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from datamodules import DataError
from datamodules.reading.depth_maps import DepthReader, ImageReader, scale_to_unit_range

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4)
ENDS = np.array([[0, 0, 40, 60], [100, 140, 255, 255]], np.uint8)
read_depth = DepthReader(near_dark_sets=["dark"])


def save(path, values, **options):
    Image.fromarray(values).save(path, **options)
    return path


def png_of_16_bits(values, colour_type):
    """Encode `(H, W, C)` as PNG with 16 bits per channel, which Pillow cannot write."""
    height, width, _ = values.shape

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


# Files


@pytest.mark.parametrize(
    ("values", "extension"),
    [
        (RAMP * 10 + 5, "png"),
        (RAMP * 10 + 5, "bmp"),
        (np.stack([RAMP] * 3, axis=-1), "png"),
        (np.stack([RAMP] * 3 + [RAMP * 20], axis=-1), "png"),
        (np.stack([RAMP, RAMP * 20], axis=-1), "png"),
        (RAMP.astype(np.uint16) * 5000 + 300, "png"),
        (RAMP.astype(np.uint16) * 3 + 40000, "tif"),
        (RAMP.astype(np.int32) * 100000 + 1, "tif"),
        (RAMP.astype(np.float32) * 0.1 - 3, "tif"),
    ],
    ids=["8", "bmp", "RGB", "RGBA", "LA", "16", "16 narrow", "32", "float"],
)
@pytest.mark.parametrize("dataset", ["bright", "dark"])
def test_depth_is_scaled_to_its_own_range_with_near_as_1(tmp_path, values, extension, dataset):
    depth = read_depth(save(tmp_path / f"a.{extension}", values), dataset)
    assert depth.dtype == np.float32
    expected = RAMP / 11
    np.testing.assert_allclose(depth[0], 1 - expected if dataset == "dark" else expected, atol=1e-6)


def test_grey_palette_and_grey_jpeg_in_colour(tmp_path):
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    image = Image.fromarray(grey)
    image.convert("P").save(tmp_path / "palette.png")
    image.convert("RGB").save(tmp_path / "rgb.jpg", quality=60)
    np.testing.assert_allclose(read_depth(tmp_path / "palette.png", "")[0], grey / 255, atol=1e-6)
    np.testing.assert_allclose(read_depth(tmp_path / "rgb.jpg", "")[0], grey / 255, atol=0.03)


def test_16_bits_of_depth_are_kept(tmp_path):
    values = np.arange(1000, dtype=np.uint16).reshape(20, 50) + 20000
    path = save(tmp_path / "a.png", values)
    for reader in (read_depth, DepthReader(depth_range=(0, 65535))):
        assert len(np.unique(reader(path, ""))) == 1000


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (2, 3), (6, 4)])
def test_16_bits_in_several_channels_are_not_cut_to_8(tmp_path, colour_type, channels):
    values = np.repeat(np.arange(12).reshape(3, 4, 1) * 5000, channels, axis=2)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values, colour_type))
    with pytest.raises(DataError, match="a.png: several channels of 16 bits, .*one channel of 16"):
        read_depth(tmp_path / "a.png", "")


def test_the_16_bit_files_of_these_tests_are_sound(tmp_path):
    values = np.arange(12).reshape(3, 4, 1) * 5000
    (tmp_path / "a.png").write_bytes(png_of_16_bits(values, 0))
    assert len(np.unique(read_depth(tmp_path / "a.png", ""))) == 11  # 0 is a hole, 5000 is farthest


@pytest.mark.parametrize(
    ("mode", "extension"), [("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("RGB", "jpg")]
)
def test_depth_in_false_colours_is_refused(tmp_path, mode, extension):
    from matplotlib import colormaps

    ramp = np.tile(np.linspace(0, 1, 64), (48, 1))
    for name in ("jet", "viridis", "magma", "turbo"):
        colours = (colormaps[name](ramp)[..., :3] * 255).astype(np.uint8)
        path = tmp_path / f"{name}.{extension}"
        Image.fromarray(colours).convert(mode).save(path)
        with pytest.raises(DataError, match=rf"{path.name}: coloured .*one grey value.*convert it"):
            read_depth(path, "")


# Holes


@pytest.mark.parametrize(
    ("choice", "holes"),
    [
        ("auto", ()),
        ("none", ()),
        ("zero", (0,)),
        ("max", (255,)),
        ("both", (0, 255)),
        ({"bright": "zero", "dark": "zero"}, (0,)),
        ({"another": "zero"}, ()),
    ],
)
@pytest.mark.parametrize("dataset", ["bright", "dark"])
def test_holes_are_far_whichever_end_is_near(tmp_path, choice, holes, dataset):
    reader = DepthReader(["dark"], choice)
    depth = reader(save(tmp_path / "a.png", ENDS), dataset)[0]
    hole = np.isin(ENDS, holes)
    assert not depth[hole].any()
    kept = ENDS[~hole].astype(float)
    expected = (kept - kept.min()) / np.ptp(kept)
    np.testing.assert_allclose(
        depth[~hole], 1 - expected if dataset == "dark" else expected, atol=1e-6
    )
    assert depth.max() == 1  # the nearest of what is left


@pytest.mark.parametrize("maximum", [0, 65535])
def test_zeros_of_16_bits_are_holes_by_default_and_the_maximum_is_not(tmp_path, maximum):
    values = np.array([[0, 800, 1200], [0, 4000, maximum or 4000]], np.uint16)
    depth = read_depth(save(tmp_path / "a.png", values), "dark")[0]
    assert depth[:, 0].tolist() == [0, 0]
    assert depth[0, 1] == 1  # 800 is nearest
    assert depth[1, 2] == 0
    assert (depth[1, 1] == 0) == (maximum == 0)


def test_values_that_are_not_finite_are_holes(tmp_path):
    values = RAMP.astype(np.float32) + 1
    values[1, 1:3] = np.nan, np.inf
    path = save(tmp_path / "a.tif", values)
    depth = read_depth(path, "dark")
    assert depth[0, 1, 1:3].tolist() == [0, 0] and np.isfinite(depth).all()
    assert depth[0, 0, 0] == 1 and depth[0, 2, 3] == 0
    with pytest.raises(DataError, match="a.tif: the image holds NaN or infinite.*: replace"):
        DepthReader(invalid_depth="none")(path, "")


@pytest.mark.parametrize("values", [np.full_like(RAMP, 77), np.where(RAMP > 3, 77, 0)])
@pytest.mark.parametrize("dataset", ["bright", "dark"])
@pytest.mark.parametrize("depth_range", [None, (0, 255)])
def test_one_valid_depth_or_none_gives_zeros(tmp_path, values, dataset, depth_range):
    reader = DepthReader(["dark"], "zero", depth_range)
    assert not reader(save(tmp_path / "a.png", values.astype(np.uint8)), dataset).any()
    empty = save(tmp_path / "b.png", np.zeros((3, 4), np.uint16))
    assert not reader(empty, dataset).any()


# Range


@pytest.mark.parametrize("dataset", ["bright", "dark"])
def test_a_fixed_range_is_the_same_for_every_map(tmp_path, dataset):
    reader = DepthReader(["dark"], depth_range=(1000, 3000))
    values = np.array([[0, 500, 1000], [1500, 3000, 9000]], np.uint16)
    depth = reader(save(tmp_path / "a.png", values), dataset)[0]
    expected = np.array([[0.0, 0.0, 0.0], [0.25, 1.0, 1.0]])
    if dataset == "dark":
        expected = 1 - expected
        expected[0, 0] = 0  # the hole
    np.testing.assert_allclose(depth, expected, atol=1e-6)


@given(
    st_numpy.arrays(
        st.sampled_from([np.uint8, np.uint16, np.float32]),
        st_numpy.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.integers(0, 255),
    ),
    st.sampled_from([None, (10.0, 200.0)]),
    st.integers(0, 2**32 - 1),
)
def test_scaling_stays_in_range_and_keeps_the_order(values, value_range, seed):
    valid = np.random.default_rng(seed).random(values.shape) < 0.8
    scaled = scale_to_unit_range(values, valid, value_range)
    assert scaled.shape == values.shape and scaled.min() >= 0 and scaled.max() <= 1
    order = np.argsort(values[valid], kind="stable")
    assert (np.diff(scaled[valid][order]) >= 0).all()
    if value_range is None and len(np.unique(values[valid])) > 1:
        assert scaled[valid].min() == 0 and scaled[valid].max() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(invalid_depth="zeros"), "invalid_depth is 'zeros', expected one of auto, none, zero"),
        (dict(invalid_depth={"SSD": "0"}), "invalid_depth is '0'"),
        (dict(depth_range=(5, 5)), r"depth_range is \[5, 5\], .* see near_dark_sets"),
        (dict(depth_range=(9, 1)), "with LOW below HIGH"),
    ],
)
def test_settings_that_do_not_exist(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthReader(**arguments)


# Real maps


def test_no_pixel_of_the_real_maps_is_taken_for_a_hole(real_data):
    paths = sorted(real_data.glob("*/depth/*"))
    assert len(paths) == 8
    for path in paths:
        stored = np.asarray(Image.open(path)).astype(float)
        dataset = path.parent.parent.name
        depth = DepthReader(["DES", "SSD"])(path, dataset)[0]
        # All of them hold 0, the nearest pixels.
        assert (stored == 0).any() and (depth[stored == 0] == 1).all()
        np.testing.assert_allclose(depth, 1 - stored / 255, atol=1e-6)


# Other modalities


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_images_of_either_number_of_channels(tmp_path, channels, dtype):
    values = RAMP.astype(dtype) * 20
    path = save(tmp_path / "a.png", values)
    image = ImageReader(channels)(path, "")
    assert image.shape == (channels, 3, 4) and image.dtype == np.float32
    for channel in image:
        np.testing.assert_allclose(channel, RAMP / 11, atol=1e-6)
    fixed = ImageReader(channels, (0, 440))(path, "")
    np.testing.assert_allclose(fixed[0], values / 440, atol=1e-6)


def test_coloured_images_keep_their_colours_where_three_channels_are_asked_for(tmp_path):
    colours = np.zeros((3, 4, 3), np.uint8)
    colours[..., 0], colours[..., 1], colours[1, 1, 2] = 200, 50, 255
    path = save(tmp_path / "a.png", colours)
    image = ImageReader(3, (0, 255))(path, "")
    np.testing.assert_allclose(image.transpose(1, 2, 0), colours / 255, atol=1e-6)
    assert ImageReader(3)(path, "").max() == 1
    with pytest.raises(DataError, match="coloured .*--data.depth_channels=3 --model"):
        ImageReader(1)(path, "")
