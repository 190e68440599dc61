"""Files that are either whole or absent."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".part"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name in its folder, then rename it.

    An interrupted or failing write leaves an earlier file as it was, and several processes may
    write the same path: the last one wins, whole. (A twin of the one in `lightning_modules`, which
    this package does not import.)

    Args:
        path: The file; its folder is created.
        write: Is called with the open binary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}{_SUFFIX}"
    try:
        with temporary.open("wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder and below; nobody may be writing there."""
    for path in folder.rglob(f".*{_SUFFIX}"):
        path.unlink(missing_ok=True)
