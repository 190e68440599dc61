"""What commands print and write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from datamodules.files import write_atomically
from mutualformer.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console


def wide_console(least: int) -> "Console":
    """Return a console for tables, of `least` characters where it is a file or a pipe."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, least)
    return console


def write_output(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file that the user asked for, whole, and say so; `UserError` if that fails."""
    with unwritable_is_a_mistake():
        write_atomically(path, content)
    print(f"Wrote {path}")


@contextmanager
def unwritable_is_a_mistake() -> Iterator[None]:
    """Turn an `OSError` in the body of the `with` into a `UserError` that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename} cannot be written: {error.strerror}") from error
