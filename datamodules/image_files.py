"""Reading RGB images, depth maps and masks from files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.errors import DataError

# A mask may be soft at its edges, as JPEG makes it, but not in more than this share of its pixels.
_MAX_SOFT_FRACTION = 0.05
# Grey images that went through JPEG in colour differ a little between their channels.
_MAX_GREY_SPREAD = 16
_MAX_COLOURED_FRACTION = 0.01
# Pillow's name for a layout with 16 bits per channel; it reads them as 8 where there are several.
_WIDE_CHANNELS = re.compile(r";16[BLN]")


def read_size(path: Path) -> tuple[int, int]:
    """Read the `(height, width)` of an image in pixels from its header, which is fast.

    Raises:
        DataError: If the file is not an image.
    """
    with _opened(path) as image:
        return image.height, image.width


def read_rgb(path: Path) -> Tensor:
    """Read a colour image of any mode.

    Returns:
        uint8 `(3, H, W)`.

    Raises:
        DataError: If the file cannot be read.
    """
    with _opened(path) as image:
        values = np.array(image.convert("RGB"))
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


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
    with _opened(path) as image:
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
            values = np.array(image.convert("L"))[None]
    if must_be_finite and not np.isfinite(values).all():
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


def read_mask(path: Path) -> Tensor:
    """Read a binary mask, stored as {0, 255}, {0, 1} or one bit, with soft edges or without.

    Returns:
        bool `(1, H, W)`, true where the stored value exceeds 128, as in PySODMetrics.

    Raises:
        DataError: If the file cannot be read or is not binary-like.
    """
    with _opened(path) as image:
        if image.mode[0] in "IF":
            raise DataError(
                f"{path}: a mask with values of mode {image.mode}, expected 1 or 8 bits per "
                "pixel: convert it"
            )
        values = np.array(image.convert("L"))
    if values.max() <= 1:
        return torch.from_numpy(values == 1)[None]
    soft = np.mean((values >= 16) & (values <= 239))
    # Without the second condition, a small object stored as grey would become an empty mask.
    if soft > _MAX_SOFT_FRACTION or (soft > 0 and values.max() <= 239):
        raise DataError(
            f"{path}: not a binary mask, {soft:.1%} of its pixels lie between 16 and 239; expected "
            f"0 and 255 with at most {_MAX_SOFT_FRACTION:.0%} in between: threshold it"
        )
    return torch.from_numpy(values > 128)[None]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; reading errors in the body of the `with` become a `DataError` too."""
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        raise
    # Pillow's decoders raise all of these on broken files.
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        reason = "the file is empty" if path.is_file() and not path.stat().st_size else str(error)
        raise DataError(
            f"{path}: cannot be read as an image ({reason}): replace the file, or remove it and "
            "its partners of the same stem"
        ) from error
