"""Opening an image file of any origin: what it is, how large, and which way up."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import DataError
from datamodules.reading.array_files import is_array_file, read_array_size

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


@contextmanager
def open_image(path: Path, header_only: bool = False) -> Iterator[Image.Image]:
    """Open an image; reading errors in the body of the `with` become a `DataError` too.

    Args:
        path: the file.
        header_only: leaves the image as stored. Otherwise it is turned as its EXIF data says, and
            refused if the file holds several.

    Yields:
        The image, of any mode; its pixels may not be decoded yet.

    Raises:
        DataError: the file cannot be read or is no single image of a sensible size.
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


def read_size(path: Path) -> tuple[int, int]:
    """Read the `(height, width)` of an image in pixels from its header, which is fast.

    A photograph that its EXIF data turns on its side has the size that it is seen at.

    Raises:
        DataError: the file is not an image.
    """
    if is_array_file(path):
        return read_array_size(path)
    with open_image(path, header_only=True) as image:
        turned = exif_orientation(image) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)
