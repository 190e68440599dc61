"""Writing a planned data set: verified, resumable, never over anything else."""

import fcntl
import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from datamodules.errors import DataError
from datamodules.files import remove_leftovers, write_atomically
from datamodules.prepare.plan import PreparedSet
from datamodules.prepare.source_file import FOLDERS, SourceFile
from datamodules.prepare.sources import Source
from datamodules.reading.open_image import FORMATS

MANIFEST_NAME = "prepared.json"


def find_written(prepared: PreparedSet, root: Path) -> set[SourceFile]:
    """Return the files of a data set that are there already, by name; their content is not read.

    Raises:
        DataError: If there are others, or a list of others.
    """
    folder = root / prepared.folder
    expected = {file.name: file for file in prepared.files}
    found = set()
    for kind in FOLDERS:
        if not (folder / kind).is_dir():
            continue
        for path in sorted((folder / kind).iterdir()):
            name = f"{kind}/{path.name}"
            if name in expected:
                found.add(expected[name])
            elif not path.name.startswith("."):
                raise DataError(
                    f"{path} is no file of this source, expected none but those: choose another "
                    "--output or --dataset, or move it away"
                )
    manifest = _read_manifest(folder / MANIFEST_NAME)
    if manifest is not None and manifest["files"].keys() != expected.keys():
        raise DataError(
            f"{folder / MANIFEST_NAME} lists {len(manifest['files'])} files, and this source has "
            f"{len(expected)}, not the same ones: choose another --output or --dataset, or move "
            f"{folder} away"
        )
    return found


def write_plan(
    prepared: PreparedSet,
    source: Source,
    root: Path,
    source_name: str,
    link: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> int:
    """Write a data set and its `prepared.json`; what is there already is compared, and kept.

    Every file is decoded and appears whole, or not at all; the list is written last. After an
    interruption at any moment, the same call writes the rest.

    Args:
        prepared: The data set.
        source: Where its files are read.
        root: It goes to `root/SPLIT/NAME`.
        source_name: What `prepared.json` calls the source.
        link: Whether to make hard links to files on disk instead of copies.
        advance: Is called once per file.

    Returns:
        How many files were written.

    Raises:
        DataError: If a file exists and differs, before anything is written; if an image cannot be
            decoded or a file cannot be written; or if another process is writing there.
    """
    folder = root / prepared.folder
    with _written_by_us_alone(folder):
        remove_leftovers(folder)
        there = find_written(prepared, root)
        missing = [file for file in prepared.files if file not in there]
        _check_room(folder, 0 if link else sum(file.size for file in missing))
        digests = {}
        for file, content in source.read_files([f for f in prepared.files if f in there]):
            digests[file] = _verify(file, content)
            _compare(file, folder / file.name, content)
            advance()
        for file, content in source.read_files(missing):
            digests[file] = _verify(file, content)
            if link:
                _link(file, folder / file.name)
            else:
                write_atomically(folder / file.name, _writer(content))
            advance()
        _check_complete(prepared, digests)
        _write_manifest(folder / MANIFEST_NAME, prepared, source_name, digests)
    return len(missing)


@contextmanager
def _written_by_us_alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, and say what is wrong if it cannot be written."""
    descriptor = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{folder}: another process is preparing this data set: wait for it"
            ) from error
        except OSError:
            pass  # a file system without locks
        yield
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: cannot be written ({error.strerror}): mend that and give "
            "the same command again, which writes the rest"
        ) from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _check_room(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise DataError(
            f"{folder}: {num_bytes / 2**20:,.0f} MiB to be written, and {free / 2**20:,.0f} MiB "
            "free: free some space, choose another --output, or give --link for a folder on the "
            "same disk"
        )


def _verify(file: SourceFile, content: bytes) -> str:
    """Decode an image, and return its digest."""
    if len(content) != file.size:
        raise DataError(
            f"{file.origin}: {len(content)} bytes, expected {file.size} as when it was listed: it "
            "changed meanwhile, give the same command again"
        )
    try:
        with warnings.catch_warnings():
            # A header that claims more pixels than a data set has.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                image.load()
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        # Pillow's own words name an object in memory.
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
        reason = reason if content else "the file is empty"
        raise DataError(
            f"{file.origin}: cannot be decoded ({reason}): replace it in the source, or remove "
            "it and its partners of the same stem"
        ) from error
    return hashlib.sha256(content).hexdigest()


def _compare(file: SourceFile, path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise DataError(
            f"{path} exists and differs from {file.origin}, expected the same or none: choose "
            "another --output or --dataset, or move it away"
        )


def _link(file: SourceFile, path: Path) -> None:
    if file.path is None:
        raise DataError(f"{file.origin} is no file of its own: leave out --link")
    path.parent.mkdir(exist_ok=True)
    try:
        os.link(file.path.resolve(), path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be linked to {file.path} ({error.strerror}): leave out --link"
        ) from error


def _writer(content: bytes) -> Callable[[Any], object]:
    return lambda file: file.write(content)


def _check_complete(prepared: PreparedSet, digests: dict[SourceFile, str]) -> None:
    for file in prepared.files:
        if file not in digests:
            raise DataError(f"{file.origin}: gone since the source was listed: put it back")


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}): move it away") from error
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        raise DataError(f"{path}: no list of prepared files, expected one: move it away")
    return content


def _write_manifest(
    path: Path, prepared: PreparedSet, source_name: str, digests: dict[SourceFile, str]
) -> None:
    files = {
        file.name: {"bytes": file.size, "sha256": digests[file]}
        for file in sorted(prepared.files, key=lambda file: file.name)
    }
    lines = "".join(f"{entry['sha256']}  {name}\n" for name, entry in files.items())
    manifest = {
        "dataset": prepared.name,
        "split": prepared.split,
        "source": source_name,
        "num_samples": prepared.num_samples,
        # What sha256sum prints for the sorted files, hashed once more.
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        "files": files,
    }
    earlier = _read_manifest(path)
    if earlier is None:
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, _writer(text.encode()))
    elif earlier["files"] != files:
        raise DataError(
            f"{path} lists other contents than the files have now: compare them, or move it away"
        )
