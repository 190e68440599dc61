"""Files that are either whole or absent."""

import os
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".tmp"


def write_atomically(
    path: Path, write: Callable[[BinaryIO], object] | bytes, *, durable: bool = True
) -> None:
    """Write a file under another name in its folder, then rename it.

    An interrupted or failing write leaves an earlier file as it was, and several processes may
    write the same path: the last one wins, whole.

    Args:
        path: the file; its folder is created.
        write: the content, or what is called with the open binary file.
        durable: whether the file must survive a power cut once this returns; what can be made
            again at any time need not.

    Raises:
        OSError: the file cannot be written; its ``filename`` is the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{uuid.uuid4().hex}{_SUFFIX}"
        try:
            with temporary.open("wb") as file:
                if isinstance(write, bytes):
                    file.write(write)
                else:
                    write(file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())  # a power cut after the rename must not leave it empty
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        # A full disk is reported without a name, and that of the temporary file helps nobody.
        if error.errno is not None:
            error.filename = str(path)
        raise


def write_if_possible(path: Path, write: Callable[[BinaryIO], object] | bytes) -> bool:
    """Write a picture that nothing depends on; warn if that fails, and tell whether it did not.

    A full disk must not keep the scores of a run from being written or shown.
    """
    try:
        write_atomically(path, write)
    except OSError as error:
        warnings.warn(f"{path} cannot be written: {error.strerror}. The run goes on", stacklevel=2)
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a folder and below; nobody may be writing there."""
    for path in folder.rglob(f".*{_SUFFIX}"):
        path.unlink(missing_ok=True)
