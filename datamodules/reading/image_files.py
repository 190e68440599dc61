"""Reading RGB images, depth maps and masks from files."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy.ndimage import maximum_filter, minimum_filter
from torch import Tensor

from datamodules.errors import DataError
from datamodules.reading.decoded_image_cache import DecodedImageCache, read_through

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

_ORIENTATION = 0x0112
# Pillow tells formats by content, whatever a file is called, and hands some to other programs
# (EPS to Ghostscript), which a file from anywhere must not start.
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# What a file is that no decoder knows, by its first bytes.
_FIRST_BYTES = {
    b"version https://git-lfs": "a Git LFS pointer: run git lfs pull",
    b"<!doctype html": "a web page: the download failed, fetch the file again",
    b"<html": "a web page: the download failed, fetch the file again",
}


def read_size(path: Path) -> tuple[int, int]:
    """Read the `(height, width)` of an image in pixels from its header, which is fast.

    A photograph that its EXIF data turns on its side has the size that it is seen at.

    Raises:
        DataError: If the file is not an image.
    """
    with open_image(path, header_only=True) as image:
        turned = exif_orientation(image) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def read_rgb(path: Path, cache: DecodedImageCache | None = None) -> Tensor:
    """Read a colour image of any mode with 8 bits, through a cache if any; transparency is dropped.

    Returns:
        uint8 `(3, H, W)`, turned as its EXIF data says.

    Raises:
        DataError: If the file cannot be read or holds more than 8 bits per value.
    """
    # Channels stay last in memory, as decoded: resizing is fastest so.
    return torch.from_numpy(read_through(cache, _decode_rgb, path)).permute(2, 0, 1)


def read_values(path: Path, channels: int = 1, must_be_finite: bool = True) -> NDArray:
    """Read the stored values of a depth map or another image of one quantity, with all their bits.

    Args:
        path: An image of 8 or 16 bits, or of 32-bit integers or floats, grey or grey in all
            channels; an alpha channel is ignored.
        channels: 1, or 3 for an image that may be coloured; a grey one is repeated.
        must_be_finite: Whether values that are not finite are an error.

    Returns:
        `(channels, H, W)`: uint8, uint16, int32 or float32.

    Raises:
        DataError: If the file cannot be read, is coloured where one channel is asked for, has 16
            bits per channel and several channels, or holds values that are not finite.
    """
    with open_image(path) as image:
        layout = str(getattr(image, "tile", ""))
        if image.mode[0] != "I" and _WIDE_CHANNELS.search(layout):
            raise DataError(
                f"{path}: several channels of 16 bits, of which only 8 could be read: save it with "
                "one channel of 16 bits"
            )
        if image.mode[0] in "IF":
            values = np.array(image)
            if values.dtype.kind == "i" and values.min() >= 0 and values.max() < 2**16:
                values = values.astype(np.uint16)  # Pillow reads some 16-bit formats as 32 bits
            values = np.repeat(values[None], channels, axis=0)
        elif channels == 3:
            values = np.array(image.convert("RGB")).transpose(2, 0, 1)
        else:
            if image.mode not in ("1", "L", "LA"):
                _check_grey(path, image.convert("RGB"))
            values = np.array(image if image.mode == "L" else image.convert("L"))[None]
    if must_be_finite and values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: the image holds NaN or infinite values: replace them by 0")
    return values


def _check_grey(path: Path, image: Image.Image) -> None:
    bands = [np.asarray(band) for band in image.split()]
    spread = np.maximum(np.maximum(*bands[:2]), bands[2]) - np.minimum(
        np.minimum(*bands[:2]), bands[2]
    )
    coloured = np.mean(spread > _MAX_GREY_SPREAD)
    if coloured > _MAX_COLOURED_FRACTION:
        raise DataError(
            f"{path}: coloured ({coloured:.0%} of its pixels), expected one grey value per pixel: "
            "depth in false colours cannot be read back without its colour map, so use the grey or "
            "16-bit files of the data set, or convert it; read another modality than depth in "
            "colour with --data.depth_channels=3 --model.network.depth_channels=3"
        )


def read_mask(path: Path, cache: DecodedImageCache | None = None) -> Tensor:
    """Read a binary mask, stored as {0, 255}, {0, 1} or one bit, with soft edges or without.

    It is read through a cache if there is one.

    Returns:
        bool `(1, H, W)`, true where the stored value exceeds 128, as in PySODMetrics.

    Raises:
        DataError: If the file cannot be read or is not binary-like.
    """
    values = read_through(cache, _decode_mask, path)
    largest = values.max()
    if largest <= 1:
        return torch.from_numpy(values == 1)[None]
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
    return torch.from_numpy(values > 128)[None]


def _is_between(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a mask is neither black nor white: from 16 to 239."""
    return values - np.uint8(16) < 224  # what is below 16 wraps around


def _check_for_a_third_class(path: Path, values: NDArray) -> None:
    flat = maximum_filter(values, _CLASS_AREA_SIDE) == minimum_filter(values, _CLASS_AREA_SIDE)
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
        if image.has_transparency_data and np.asarray(image.convert("RGBA"))[..., 3].min() < 255:
            raise DataError(
                f"{path}: a mask with transparent pixels, expected 0 and 255 without an alpha "
                "channel: flatten it"
            )
        return np.array(image if image.mode == "L" else image.convert("L"))


@contextmanager
def open_image(path: Path, header_only: bool = False) -> Iterator[Image.Image]:
    """Open an image; reading errors in the body of the `with` become a `DataError` too.

    Args:
        path: The file.
        header_only: Leaves the image as stored. Otherwise it is turned as its EXIF data says, and
            refused if the file holds several.

    Yields:
        The image, of any mode; its pixels may not be decoded yet.

    Raises:
        DataError: If the file cannot be read or is no single image of a sensible size.
    """
    try:
        # Opening a named pipe would wait for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            what = "a folder" if path.is_dir() else "no regular file"
            raise DataError(f"{path}: {what}, expected an image file: move it away")
        with Image.open(path, formats=FORMATS) as image:
            _check_header(path, image)
            if not header_only and exif_orientation(image) != 1:
                yield ImageOps.exif_transpose(image)
            else:
                yield image
    except DataError:
        raise
    # Pillow's decoders raise exceptions of a dozen classes on broken files.
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read as an image ({_reason(path, error)}): replace the file, or "
            "remove it and its partners of the same stem"
        ) from error


def exif_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8, decoding no pixels; 1 is upright.

    >>> exif_orientation(Image.new("L", (2, 2)))
    1
    """
    # Pillow decodes a whole PNG to look for EXIF data behind its pixels.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _check_header(path: Path, image: Image.Image) -> None:
    # The pictures of a MPO file are the same scene; the first is what every viewer shows.
    num_images = getattr(image, "n_frames", 1)
    if num_images > 1 and image.format != "MPO":
        raise DataError(
            f"{path}: holds {num_images} images (animated, or several pages), expected one: save "
            "the right one alone"
        )
    if min(image.size) < 2:
        raise DataError(
            f"{path}: an image of {image.height} × {image.width} pixels (height × width) shows "
            "nothing, expected a picture: replace it, or remove it and its partners of the same "
            "stem"
        )
    limit = Image.MAX_IMAGE_PIXELS or float("inf")
    if image.width * image.height > limit:
        raise DataError(
            f"{path}: {image.height} × {image.width} pixels (height × width), expected at most "
            f"{limit:.0f} in all: shrink it together with its partners of the same stem"
        )


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"its header announces too large an image, {error}"
    if path.is_symlink() and not path.exists():
        return f"a link to {os.readlink(path)}, which cannot be followed"
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip().lower()
    except OSError as failure:
        return failure.strerror or str(failure)
    if not start:
        return "the file is empty"
    for first_bytes, meaning in _FIRST_BYTES.items():
        if start.startswith(first_bytes):
            return meaning
    # Pillow's own message repeats the path.
    return (
        "no image format that is known" if isinstance(error, UnidentifiedImageError) else f"{error}"
    )
