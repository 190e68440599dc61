"""An image in a source, and which part of which data set it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import DEPTH_FOLDERS, EXTENSIONS, MASK_FOLDERS, RGB_FOLDERS

# Our name of each folder, and the names it has elsewhere.
FOLDERS = {aliases[0]: aliases for aliases in (RGB_FOLDERS, DEPTH_FOLDERS, MASK_FOLDERS)}
RGB, DEPTH, MASK = FOLDERS

# No image of a data set comes near; whatever declares more is broken or means harm.
MAX_FILE_SIZE = 256 * 2**20  # bytes
MAX_NUM_FILES = 1_000_000


@dataclass(frozen=True)
class SourceFile:
    """An image of a sample in a source.

    Attributes:
        parts: The folders that say which data set it is of, outermost first.
        kind: `"RGB"`, `"depth"` or `"GT"`.
        folder: Name of its folder in the source.
        stem: Name of the sample.
        suffix: Extension, as it is in the source.
        size: In bytes.
        origin: Where it is, for messages.
        path: The file, if it is one on disk.
        position: What the source finds it by.
    """

    parts: tuple[str, ...]
    kind: str
    folder: str
    stem: str
    suffix: str
    size: int
    origin: str
    path: Path | None = None
    position: tuple[int | str, ...] = ()

    @property
    def name(self) -> str:
        """Path below the folder of the prepared data set."""
        return f"{self.kind}/{self.stem}{self.suffix}"


def describe_file(
    parts: Sequence[str],
    inside: PurePosixPath,
    size: int,
    origin: str,
    path: Path | None = None,
) -> SourceFile | None:
    """Return the image of a sample that a file is, or `None` if it is none by its place.

    Args:
        parts: Names that the source itself has.
        inside: Path of the file in the source.
        size: In bytes.
        origin: For messages.
        path: The file, if it is one on disk.

    Raises:
        DataError: If it is too large for an image.

    >>> file = describe_file(["NLPR"], PurePosixPath("test/depths/a.PNG"), 9, "NLPR.zip: …")
    >>> file.parts, file.name
    (('NLPR', 'test'), 'depth/a.PNG')
    >>> describe_file([], PurePosixPath("__MACOSX/depths/._a.png"), 9, "…") is None
    True
    """
    folders = inside.parts[:-1]
    if any(part.startswith(".") or part == "__MACOSX" for part in inside.parts):
        return None
    if not folders or inside.suffix.lower() not in EXTENSIONS:
        return None
    for kind, aliases in FOLDERS.items():
        if folders[-1] in aliases:
            check_size(size, origin)
            return SourceFile(
                (*parts, *folders[:-1]),
                kind,
                folders[-1],
                inside.stem,
                inside.suffix,
                size,
                origin,
                path,
                (str(inside),),
            )
    return None


def check_size(size: int, origin: str) -> None:
    """Raise a `DataError` for a file that is too large to be an image of a data set."""
    if size > MAX_FILE_SIZE:
        raise DataError(
            f"{origin}: {size / 2**20:,.0f} MiB, expected an image of at most "
            f"{MAX_FILE_SIZE // 2**20} MiB: remove it from the source"
        )
