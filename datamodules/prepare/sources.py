"""What data sets are prepared from: folders, archives, Parquet files."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from datamodules.errors import DataError
from datamodules.prepare.archive_source import TarSource, ZipSource
from datamodules.prepare.folder_source import FolderSource
from datamodules.prepare.parquet_source import ParquetSource
from datamodules.prepare.source_file import SourceFile

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Source(Protocol):
    """Where images come from."""

    def list_files(self) -> list[SourceFile]:
        """Return the images of samples, in the order in which they are read best."""
        ...

    def read_files(self, files: Collection[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        """Yield some of these images with their contents, in that order."""
        ...


def open_source(path: Path, output: Path) -> Source:
    """Return the source that a path is.

    Args:
        path: A folder with data sets, or with Parquet files; an archive; or a Parquet file.
        output: Where data sets are written; if it lies in the source, it is no part of it.

    Raises:
        DataError: If it is none of these.
    """
    name = path.name.lower()
    if path.is_dir():
        parquet = sorted(
            file
            for file in path.rglob("*.parquet")
            if not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        return ParquetSource(path, parquet) if parquet else FolderSource(path, output)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; expected a data set: check the path")
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith(_TAR_ENDINGS):
        return TarSource(path)
    if name.endswith(".parquet"):
        return ParquetSource(path.parent, [path])
    raise DataError(
        f"{path}: expected a folder, an archive (.zip {' '.join(_TAR_ENDINGS)}) or a .parquet "
        "file: unpack it, and give the folder"
    )
