"""Data sets in archives. Nothing is unpacked by the paths in them, so that none leads outside."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from datamodules.errors import DataError
from datamodules.prepare.source_file import (
    MAX_NUM_FILES,
    SourceFile,
    check_size,
    describe_file,
)

# A deflated bitmap of one colour reaches about 1000, which is as much as deflate can.
_MAX_RATIO = 2000


class ZipSource:
    """The images in a .zip file.

    Args:
        path: The archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def list_files(self) -> list[SourceFile]:
        """Return the images of samples, in the order of the archive.

        Raises:
            DataError: If the archive is damaged, or a member has a path out of it, is no plain
                file, or is too large.
        """
        files = []
        with _opened(self.path), zipfile.ZipFile(self.path) as archive:
            members = archive.infolist()
            _check_count(len(members), self.path)
            for member in members:
                origin = f"{self.path}: {member.filename}"
                inside = _check_path(member.filename, origin)
                # The upper half holds the mode of Unix; 0 if the archive was made elsewhere.
                kind = (member.external_attr >> 28) & 0xF
                if kind not in (0, 4, 8):
                    raise _not_plain(origin)
                if member.is_dir():
                    continue
                check_size(member.file_size, origin)
                if member.file_size > _MAX_RATIO * max(member.compress_size, 1):
                    raise DataError(
                        f"{origin}: {member.compress_size} bytes that claim to unpack to "
                        f"{member.file_size}, expected an image: get the archive anew"
                    )
                file = describe_file([self.path.stem], inside, member.file_size, origin)
                if file is not None:
                    files.append(file)
        return files

    def read_files(self, files: Collection[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        """Yield images with their contents."""
        with _opened(self.path), zipfile.ZipFile(self.path) as archive:
            members = {str(PurePosixPath(member.filename)): member for member in archive.infolist()}
            for file in files:
                # Never yields more than the size it declares, and checks its sum.
                yield file, archive.read(members[str(file.position[0])])


class TarSource:
    """The images in a .tar file, compressed or not.

    Args:
        path: The archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def list_files(self) -> list[SourceFile]:
        """Return the images of samples, in the order of the archive.

        Raises:
            DataError: If the archive is damaged, or a member has a path out of it, is no plain
                file, or is too large.
        """
        files = []
        name = self.path.name.split(".tar")[0].removesuffix(".tgz")
        with _opened(self.path), tarfile.open(self.path) as archive:
            # One at a time: what comes after a member that is too large is not unpacked.
            for number, member in enumerate(archive):
                _check_count(number + 1, self.path)
                origin = f"{self.path}: {member.name}"
                inside = _check_path(member.name, origin)
                if not (member.isfile() or member.isdir()):
                    raise _not_plain(origin)
                check_size(member.size, origin)
                file = describe_file([name], inside, member.size, origin)
                if file is not None and member.isfile():
                    files.append(file)
        return files

    def read_files(self, files: Collection[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        """Yield images with their contents, in one pass over the archive."""
        wanted = {file.position[0]: file for file in files}
        with _opened(self.path), tarfile.open(self.path) as archive:
            for member in archive:
                file = wanted.get(str(PurePosixPath(member.name)))
                if file is not None and member.isfile():
                    content = archive.extractfile(member)
                    assert content is not None
                    yield file, content.read()


def _check_path(name: str, origin: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name[1:2]:
        raise DataError(
            f"{origin}: a path that leads out of the archive, expected one below it: do not trust "
            "this archive"
        )
    return path


def _not_plain(origin: str) -> DataError:
    return DataError(
        f"{origin}: a link or a device, expected plain files and folders: unpack the archive "
        "yourself if you trust it, and give the folder"
    )


def _check_count(count: int, path: Path) -> None:
    if count > MAX_NUM_FILES:
        raise DataError(
            f"{path}: more than {MAX_NUM_FILES:,} files, expected a data set: unpack it yourself"
        )


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        OSError,
        RuntimeError,  # a zip file with a password
        NotImplementedError,
    ) as error:
        raise DataError(f"{path}: cannot be read ({error}): get the archive anew") from error
