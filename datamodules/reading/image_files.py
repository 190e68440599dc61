"""Reading RGB images, maps of one quantity, masks and saliency maps from files."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from datamodules.errors import DataError
from datamodules.reading.array_files import is_array_file, read_array
from datamodules.reading.decoded_image_cache import DecodedImageCache, read_through
from datamodules.reading.open_image import open_image

# A mask may be soft at its edges, as JPEG makes it, but not in more than this share of its pixels.
_MAX_SOFT_FRACTION = 0.05
# A third class fills areas with one grey value, which soft edges do not: of this side in pixels, in
# at least this share of the image.
_CLASS_AREA_SIDE = 5
_MIN_CLASS_FRACTION = 0.001

# Grey images that went through JPEG in colour differ a little between their channels.
_MAX_GREY_SPREAD = 16
_MAX_COLOURED_FRACTION = 0.01
# Pillow's name for a layout with 16 bits per channel; it reads them as 8 where there are several.
_WIDE_CHANNELS = re.compile(r";16[BLN]")

_COLOURED_VALUES = (
    "depth in false colours cannot be read back without its colour map, so use the grey or 16-bit "
    "files of the data set, or convert it; read another modality than depth in colour with "
    "--data.depth_channels=3 --model.network.depth_channels=3"
)
_COLOURED_MAP = "convert it"
_COLOURED_MASK = "say which class is the object, and store it as 255 and all else as 0"


def read_rgb(path: Path, cache: DecodedImageCache | None = None) -> NDArray:
    """Read a colour image of any mode with 8 bits, through a cache if any; transparency is dropped.

    Returns:
        uint8 `(3, H, W)`, turned as its EXIF data says.

    Raises:
        DataError: the file cannot be read or holds more than 8 bits per value.
    """
    # Channels stay last in memory, as decoded: resizing is fastest so.
    return read_through(cache, _decode_rgb, path).transpose(2, 0, 1)


def read_values(path: Path, channels: int = 1, must_be_finite: bool = True) -> NDArray:
    """Read the stored values of a depth map or another image of one quantity, with all their bits.

    Args:
        path: an image of 8 or 16 bits, or of 32-bit integers or floats, grey or grey in all
            channels, of which an alpha channel is ignored; or a `.npy` file `(H, W)`.
        channels: 1, or 3 for an image that may be coloured; a grey one is repeated.
        must_be_finite: whether values that are not finite are an error.

    Returns:
        `(channels, H, W)`: uint8, uint16, int32 or float32.

    Raises:
        DataError: the file cannot be read, is coloured where one channel is asked for, has 16
            bits per channel and several channels, or holds values that are not finite.
    """
    values = _array_values(path, channels) if is_array_file(path) else _values(path, channels)
    if must_be_finite and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: the image holds NaN or infinite values: replace them by 0")
    return values


def _values(path: Path, channels: int) -> NDArray:
    with open_image(path) as image:
        layout = str(getattr(image, "tile", ""))
        if image.mode[0] != "I" and _WIDE_CHANNELS.search(layout):
            raise DataError(
                f"{path}: several channels of 16 bits, of which only 8 could be read: save it with "
                "one channel of 16 bits"
            )
        if image.mode[0] not in "IF":
            if channels == 3:
                return np.array(image.convert("RGB")).transpose(2, 0, 1)
            return _grey_levels(path, image, _COLOURED_VALUES)[None]
        values = np.array(image)
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() < 2**16:
        values = values.astype(np.uint16)  # Pillow reads some 16-bit formats as 32 bits
    return np.repeat(values[None], channels, axis=0)


def _array_values(path: Path, channels: int) -> NDArray:
    values = read_array(path)
    values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if len(values) not in (1, channels):
        raise DataError(
            f"{path}: an array of {len(values)} channels, expected {channels}: give "
            "--data.depth_channels and --model.network.depth_channels, or save it otherwise"
        )
    return np.repeat(values, channels // len(values), axis=0)


def holds_fourth_channel(path: Path) -> bool:
    """Return whether a file holds RGB and a fourth channel that is an image, as thermal is.

    A channel of one or two values is transparency. What cannot be read holds none.
    """
    try:
        with open_image(path) as image:
            return (
                image.mode in ("RGBA", "RGBX")
                and len(np.unique(np.asarray(image.getchannel(3)))) > 2
            )
    except DataError:
        return False


def read_fourth_channel(path: Path, channels: int = 1, must_be_finite: bool = True) -> NDArray:
    """Read what lies beside RGB in a file of four channels; as `read_values`.

    Raises:
        DataError: the file cannot be read, or has no fourth channel.
    """
    with open_image(path) as image:
        if image.mode not in ("RGBA", "RGBX"):
            raise DataError(
                f"{path}: {len(image.getbands())} channel(s), expected four as in the other "
                "images, the fourth being the second modality: add it, or remove the sample"
            )
        return np.repeat(np.asarray(image.getchannel(3))[None], channels, axis=0)


def _grey_levels(path: Path, image: Image.Image, remedy: str) -> NDArray[np.uint8]:
    if image.mode not in ("1", "L", "LA"):
        bands = (image if image.mode == "RGB" else image.convert("RGB")).split()
        if all(ImageChops.difference(bands[0], band).getbbox() is None for band in bands[1:]):
            return np.array(bands[0])  # as most masks stored in colour are
        red, green, blue = map(np.asarray, bands)
        highest = np.maximum(np.maximum(red, green), blue)
        coloured = np.mean(highest - np.minimum(np.minimum(red, green), blue) > _MAX_GREY_SPREAD)
        if coloured > _MAX_COLOURED_FRACTION:
            raise DataError(
                f"{path}: coloured ({coloured:.0%} of its pixels), expected one grey value per "
                f"pixel: {remedy}"
            )
    return np.array(image if image.mode == "L" else image.convert("L"))


def _check_opaque(path: Path, image: Image.Image) -> None:
    if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
        raise DataError(
            f"{path}: transparent pixels, expected an image without an alpha channel: flatten it"
        )


def read_saliency_map(path: Path) -> NDArray:
    """Read a saliency map of 1, 8 or 16 bits (0 to 65535), or of floats in [0, 1].

    Colour images pass if they are grey, transparent ones if they are opaque.

    Returns:
        `(1, H, W)`: uint8 levels as stored, of up to 8 bits; float32 in [0, 1] of more, with
        levels v of 16 bits as v / 65535.

    Raises:
        DataError: the file cannot be read, is in colour, or its values are out of range.
    """
    with open_image(path) as image:
        if image.mode[0] not in "IF":
            _check_opaque(path, image)
            return _grey_levels(path, image, _COLOURED_MAP)[None]
    values = read_values(path)
    lowest, highest = values.min(), values.max()
    whole = values.dtype.kind != "f"
    if not (lowest >= 0 and highest <= (65535 if whole else 1)):
        expected = "0 to 65535 in a 16-bit map" if whole else "0 to 1 in a map of floats"
        raise DataError(
            f"{path}: values from {lowest:g} to {highest:g}, expected {expected}: rescale it"
        )
    if whole and 0 < highest <= 255:
        raise DataError(
            f"{path}: a 16-bit map with values up to {highest:g} only, expected 0 to 65535: it "
            "looks like 8-bit levels, store it in 8 bits"
        )
    return values.astype(np.float32) / np.float32(65535 if whole else 1)


def read_mask(path: Path, cache: DecodedImageCache | None = None) -> NDArray:
    """Read a binary mask, stored as {0, 255}, {0, 1} or one bit, with soft edges or without.

    It is read through a cache if there is one.

    Returns:
        bool `(1, H, W)`, true where the stored value exceeds 128, as in PySODMetrics.

    Raises:
        DataError: the file cannot be read or is not binary-like.
    """
    values = read_through(cache, _decode_mask, path)
    largest = values.max()
    if largest <= 1:
        return (values == 1)[None]
    soft = np.count_nonzero(_is_between(values)) / values.size
    # Without the second condition, a mask of the values 0, 1 and 2, or a small object stored as
    # grey, would become an empty mask.
    if soft > _MAX_SOFT_FRACTION or largest <= 239:
        raise DataError(
            f"{path}: not a binary mask, {soft:.1%} of its pixels lie between 16 and 239 and its "
            f"largest value is {largest}; expected 0 and 255 with at most "
            f"{_MAX_SOFT_FRACTION:.0%} in between: threshold it"
        )
    if soft > 0:
        _check_for_a_third_class(path, values)
    return (values > 128)[None]


def _is_between(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a mask is neither black nor white: from 16 to 239."""
    return values - np.uint8(16) < 224  # what is below 16 wraps around


def _check_for_a_third_class(path: Path, values: NDArray) -> None:
    area = np.ones((_CLASS_AREA_SIDE, _CLASS_AREA_SIDE), np.uint8)
    flat = cv2.dilate(values, area) == cv2.erode(values, area)
    areas = values[_is_between(values) & flat]
    if areas.size >= _MIN_CLASS_FRACTION * values.size:
        raise DataError(
            f"{path}: not a binary mask, areas of it hold the value {np.bincount(areas).argmax()}; "
            "expected 0 and 255 alone: say which class is the object and threshold it"
        )


# What these return, and read_values, is what a cache keeps: count up its version when it changes.


def _decode_rgb(path: Path) -> NDArray:
    with open_image(path) as image:
        if image.mode[0] in "IF":
            raise DataError(
                f"{path}: a colour image with values of mode {image.mode}, expected 8 bits per "
                "value: convert it (or is it a depth map in the wrong folder?)"
            )
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _decode_mask(path: Path) -> NDArray:
    with open_image(path) as image:
        if image.mode[0] in "IF":
            raise DataError(
                f"{path}: a mask with values of mode {image.mode}, expected 1 or 8 bits per "
                "pixel: convert it"
            )
        _check_opaque(path, image)
        return _grey_levels(path, image, _COLOURED_MASK)
