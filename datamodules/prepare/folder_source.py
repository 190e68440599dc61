"""Data sets in folders."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from datamodules.errors import DataError
from datamodules.prepare.source_file import SourceFile, describe_file


class FolderSource:
    """The images in a folder and below; symbolic links are followed, but never in a circle.

    Args:
        root: The folder.
        output: A folder to leave out.
    """

    def __init__(self, root: Path, output: Path) -> None:
        self.root = root
        self.output = output.resolve()

    def list_files(self) -> list[SourceFile]:
        """Return the images of samples, sorted by path.

        Raises:
            DataError: If a folder or file cannot be read.
        """
        # The folder's own name and the one above tell, as in test/NLPR.
        parts = self.root.resolve().parts[1:][-2:]
        files = []
        for path in self._walk(self.root, ()):
            inside = PurePosixPath(path.relative_to(self.root))
            if describe_file(parts, inside, 0, str(path)) is None:
                continue
            try:
                status = path.stat()
            except OSError as error:
                raise _unreadable(path, error) from error
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path}: expected a file: remove it from the source")
            file = describe_file(parts, inside, status.st_size, str(path), path)
            assert file is not None
            files.append(file)
        return files

    def read_files(self, files: Collection[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        """Yield images with their contents."""
        for file in files:
            assert file.path is not None
            try:
                yield file, file.path.read_bytes()
            except OSError as error:
                raise _unreadable(file.path, error) from error

    def _walk(self, folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(folder, error) from error
        identity = (status.st_dev, status.st_ino)
        if identity in above or folder.resolve() == self.output:
            return
        for entry in entries:
            if entry.is_dir():
                yield from self._walk(folder / entry.name, (*above, identity))
            else:
                yield folder / entry.name


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be read ({error.strerror}): replace it, or remove it")
