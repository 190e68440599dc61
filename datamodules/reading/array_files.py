"""Arrays in `.npy` files, as which depth of some data sets circulates."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError


def is_array_file(path: Path) -> bool:
    """Tell by its name whether a file holds an array and no image.

    >>> is_array_file(Path("Depth/0.npy")), is_array_file(Path("Depth/0.png"))
    (True, False)
    """
    return path.suffix.lower() == ".npy"


def read_array(path: Path) -> NDArray:
    """Read an array `(H, W)` or `(H, W, C)`; no code in the file is executed.

    Returns:
        uint8, uint16, int32 or float32.

    Raises:
        DataError: it cannot be read, or has another shape or type.
    """
    values = _open(path)
    if values.dtype.kind == "f":
        return np.array(values, np.float32)
    if values.dtype != np.uint8:
        fits = values.size and values.min() >= 0 and values.max() < 2**16
        return np.array(values, np.uint16 if fits else np.int32)
    return np.array(values)


def read_array_size(path: Path) -> tuple[int, int]:
    """Return height and width of an array, from its header.

    Raises:
        DataError: as for `read_array`.
    """
    shape = _open(path).shape
    return shape[0], shape[1]


def _open(path: Path) -> NDArray:
    try:
        # Pickled objects could run code.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises nearly anything for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: cannot be read as an array ({reason}): replace the file, or remove it and "
            "its partners of the same stem"
        ) from error
    shape = getattr(values, "shape", ())
    if (
        len(shape) not in (2, 3)
        or min(shape) < 1
        or min(shape[:2]) < 2
        or values.dtype.kind not in "uif"
    ):
        raise DataError(
            f"{path}: an array of shape {shape} and type {getattr(values, 'dtype', '?')}, expected "
            "numbers of (height, width): save it so"
        )
    return values
