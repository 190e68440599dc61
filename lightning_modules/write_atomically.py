"""Files that are either whole or absent."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under another name in its folder, then rename it.

    An interrupted or failing write leaves an earlier file as it was, and several processes may
    write the same path: the last one wins, whole.

    Args:
        path: the file; its folder is created.
        write: is called with the open binary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the rename must not leave it empty
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
