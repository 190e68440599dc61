"""Decoded images on disk, so that files are decoded once and not in every epoch."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.files import write_atomically

# Counts changes of what the functions in image_files.py that decode return.
_VERSION = 1


class DecodedImageCache:
    """Arrays as they were decoded, each in a `.npy` file of its own that is mapped into memory.

    Images are kept at their own size, because a random crop needs all of their pixels: 4 to 5
    bytes per pixel of a sample, 1.5 MB at 480 × 640. Any number of processes may use a folder at
    once, without locks: a file appears whole, and two that decode the same image write the same. A
    read-only folder serves as long as it holds every image. Other versions of Pillow, which may
    decode otherwise, get a subfolder of their own; a folder can be deleted at any time.

    A file counts as changed if its size or its time of modification did.

    Args:
        folder: where the arrays are; it is created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"v{_VERSION}-pillow-{PIL.__version__}"

    def read(self, decode: Callable[..., NDArray], path: Path, *arguments: object) -> NDArray:
        """Return what `decode(path, *arguments)` does, from the cache if it is there.

        Args:
            decode: reads the file; its name is part of the key.
            path: the image file.
            arguments: more of them, also part of the key.

        Returns:
            The array. It may be changed: the changes stay in this process.

        Raises:
            DataError: the array cannot be stored; and whatever `decode` raises.
        """
        try:
            # Before decoding: a file that changes meanwhile is decoded again the next time.
            status = path.stat()
        except OSError:
            return decode(path, *arguments)  # which says what is wrong with it
        name = f"{decode.__name__}{arguments} {path.absolute()}"
        key = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        stored = self.folder / key[:2] / f"{key}-{status.st_size}-{status.st_mtime_ns}.npy"
        try:
            # Copy-on-write: torch shares memory only with arrays that could be written to.
            return np.lib.format.open_memmap(stored, mode="c")
        # Absent, or cut when a machine lost its power: NumPy raises nearly anything then.
        except Exception:
            values = decode(path, *arguments)
        try:
            write_atomically(
                stored, lambda file: np.save(file, values, allow_pickle=False), durable=False
            )
            for outdated in stored.parent.glob(f"{key}-*.npy"):
                if outdated != stored:
                    outdated.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(_describe(error, self.folder.parent, path)) from error
        return values


def read_through(
    cache: DecodedImageCache | None, decode: Callable[..., NDArray], path: Path, *arguments: object
) -> NDArray:
    """Return what `decode(path, *arguments)` does, from the cache if there is one."""
    if cache is None:
        return decode(path, *arguments)
    return cache.read(decode, path, *arguments)


def _describe(error: OSError, folder: Path, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space (what is stored is kept), choose another folder"
    else:
        remedy = "fill it where it can be written, choose another folder"
    return (
        f"--data.cache_dir {folder}: cannot store {path}, which it does not hold yet or no longer "
        f"({error.strerror}): {remedy}, or leave the option out"
    )
