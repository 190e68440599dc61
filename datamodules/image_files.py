"""Reading RGB images, depth maps and masks from files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from datamodules.decoded_image_cache import DecodedImageCache, read_through
from datamodules.errors import DataError

# A mask may be soft at its edges, as JPEG makes it, but not in more than this share of its pixels.
_MAX_SOFT_FRACTION = 0.05


def read_size(path: Path) -> tuple[int, int]:
    """Read the `(height, width)` of an image in pixels from its header, which is fast.

    Raises:
        DataError: If the file is not an image.
    """
    with _opened(path) as image:
        return image.height, image.width


def read_rgb(path: Path, cache: DecodedImageCache | None = None) -> Tensor:
    """Read a colour image of any mode, through a cache if there is one.

    Returns:
        uint8 `(3, H, W)`.

    Raises:
        DataError: If the file cannot be read.
    """
    # Channels stay last in memory, as decoded: resizing is fastest so.
    return torch.from_numpy(read_through(cache, _decode_rgb, path)).permute(2, 0, 1)


def read_depth(path: Path, cache: DecodedImageCache | None = None) -> Tensor:
    """Read a depth map of 8 or 16 bits, or of 32-bit integers or floats, through a cache if any.

    No value is treated as invalid: a map whose holes are stored as zeros keeps them.

    Returns:
        float32 `(1, H, W)`, scaled to [0, 1] by the smallest and largest value of the map; all
        zeros if the map is constant. Which end is near is that of the file.

    Raises:
        DataError: If the file cannot be read or holds values that are not finite.
    """
    values = read_through(cache, _decode_depth, path).astype(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: the depth map holds NaN or infinite values: replace them by 0")
    low, high = values.min(), values.max()
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return torch.from_numpy(scaled.astype(np.float32))[None]


def read_mask(path: Path, cache: DecodedImageCache | None = None) -> Tensor:
    """Read a binary mask, stored as {0, 255}, {0, 1} or one bit, with soft edges or without.

    It is read through a cache if there is one.

    Returns:
        bool `(1, H, W)`, true where the stored value exceeds 128, as in PySODMetrics.

    Raises:
        DataError: If the file cannot be read or is not binary-like.
    """
    values = read_through(cache, _decode_mask, path)
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


# What these return is what a cache keeps: count up its version when it changes.


def _decode_rgb(path: Path) -> NDArray:
    with _opened(path) as image:
        return np.array(image.convert("RGB"))


def _decode_depth(path: Path) -> NDArray:
    with _opened(path) as image:
        # Modes I and F hold more than 8 bits, which a conversion to L would cut off.
        return np.array(image if image.mode[0] in "IF" else image.convert("L"))


def _decode_mask(path: Path) -> NDArray:
    with _opened(path) as image:
        if image.mode[0] in "IF":
            raise DataError(
                f"{path}: a mask with values of mode {image.mode}, expected 1 or 8 bits per "
                "pixel: convert it"
            )
        return np.array(image.convert("L"))


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
