"""Unpacking data sets: planned and verified first, then written, resumable, never over anything."""

import hashlib
import io
import re
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from datamodules.errors import DataError
from datamodules.files import remove_leftovers, write_atomically
from datamodules.prepare.parquet_rows import COLUMNS, find_parquet_files, read_rows
from datamodules.reading.open_image import FORMATS

SPLITS = ("train", "test")
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif"}
# Names that the hub gives where the author gave none.
_NO_NAMES = ("data", "default")


class PlannedFile(NamedTuple):
    """An image to be written: where it comes from, for messages, and the SHA-256 of its bytes."""

    origin: str
    digest: str


class PlannedSet(NamedTuple):
    """A data set to be written.

    It goes to `folder`, `SPLIT/NAME` below the root, from the Parquet files `sources`; its `files`
    are listed by their names below the folder, such as `RGB/a.jpg`.
    """

    folder: str
    sources: list[Path]
    files: dict[str, PlannedFile]

    @property
    def num_samples(self) -> int:
        """How many samples it has."""
        return len(self.files) // len(COLUMNS)


def make_plan(
    source: Path, dataset: str | None = None, split: str | None = None
) -> list[PlannedSet]:
    """Read and decode every image of a source, and say where it goes; write nothing.

    How the hub's copy is divided into files could not be seen; it is assumed to follow the hub's
    convention, `[DATASET/]SPLIT-00000-of-00002.parquet`, and the arguments say otherwise.

    Args:
        source: a Parquet file, or a folder of such.
        dataset: name of the data set, instead of that of the convention.
        split: `"train"` or `"test"`, instead of that of the convention.

    Raises:
        DataError: there are no samples; a file, a row or an image is damaged; a name or a split
            cannot be told; or two samples would become one.
    """
    if dataset is not None and not _is_name(dataset):
        raise DataError(f"--dataset is {dataset!r}, expected a name without folders: rename it")
    root = source if source.is_dir() else source.parent
    groups: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for path in find_parquet_files(source):
        inside = path.relative_to(root)
        last = re.sub(r"-\d+-of-\d+$", "", path.stem)
        parts = tuple(x for x in (*inside.parts[:-1], last) if x not in _NO_NAMES)
        groups[parts].append(path)
    plan: dict[str, PlannedSet] = {}
    for parts, paths in groups.items():
        folder = _target(paths[0], parts, dataset, split)
        if folder in plan:
            raise DataError(
                f"{plan[folder].sources[0]} and {paths[0]} would both become {folder}, expected "
                "one data set: give one at a time"
            )
        plan[folder] = PlannedSet(folder, paths, _plan_files(paths))
    return [plan[folder] for folder in sorted(plan)]


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def _target(path: Path, parts: tuple[str, ...], dataset: str | None, split: str | None) -> str:
    splits = {part.lower() for part in parts if part.lower() in SPLITS}
    if split is None and len(splits) != 1:
        raise DataError(
            f"{path}: cannot tell whether this is for training or for testing, expected train or "
            "test in its name: give --split train or --split test"
        )
    names = [part for part in parts if part.lower() not in SPLITS]
    name = dataset or (names[-1] if names else "")
    if not _is_name(name):
        raise DataError(f"{path}: cannot tell which data set this is: give --dataset NAME")
    return f"{split or splits.pop()}/{name}"


def _plan_files(paths: list[Path]) -> dict[str, PlannedFile]:
    files: dict[str, PlannedFile] = {}
    # By its stem without capitals, which not every file system tells apart.
    rows: dict[str, tuple[str, str]] = {}
    for row in read_rows(paths):
        stem, origin = rows.setdefault(row.stem.casefold(), (row.stem, row.origin))
        if origin != row.origin:
            raise DataError(
                f"{row.origin} and {origin} are called {row.stem} and {stem}, expected names that "
                "differ in more than capitals: remove or rename one"
            )
        for column, content in row.images.items():
            origin = f"{row.origin}, {column} of {row.stem}"
            name = f"{COLUMNS[column]}/{row.stem}{_suffix_of(content, origin)}"
            files[name] = PlannedFile(origin, hashlib.sha256(content).hexdigest())
    if not files:
        raise DataError(f"{paths[0]}: no rows, expected samples: get the file anew")
    return files


def _suffix_of(content: bytes, origin: str) -> str:
    """Decode an image, and return the extension of its format."""
    try:
        with warnings.catch_warnings():
            # A header that claims more pixels than a data set has.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                suffix = _SUFFIXES.get(image.format or "")
                image.load()
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        # Pillow's own words name an object in memory.
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{origin}: cannot be decoded ({reason}): get the file anew") from error
    if suffix is None:
        formats = ", ".join(sorted(_SUFFIXES))
        raise DataError(f"{origin}: an image in {image.format}, expected {formats}: convert it")
    return suffix


def find_written(planned: PlannedSet, root: Path) -> set[str]:
    """Return the names of the files that are there already, having compared their contents.

    Raises:
        DataError: there are others, or of other contents.
    """
    folder = root / planned.folder
    found = set()
    for path in sorted(folder.glob("*/*")):
        name = path.relative_to(folder).as_posix()
        file = planned.files.get(name)
        if file is None:
            if path.name.startswith(".") or path.parent.name not in COLUMNS.values():
                continue
            raise DataError(
                f"{path} is no file of this source, expected none but those: choose another "
                "--output or --dataset, or move it away"
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != file.digest:
            raise DataError(
                f"{path} exists and differs from {file.origin}, expected the same or none: choose "
                "another --output or --dataset, or move it away"
            )
        found.add(name)
    return found


def write_dataset(
    planned: PlannedSet, root: Path, advance: Callable[[], object] = lambda: None
) -> int:
    """Write what is missing of a data set, byte for byte.

    A file appears whole, or not at all. After an interruption at any moment, the same call writes
    the rest.

    Args:
        planned: the data set.
        root: it goes to `root/SPLIT/NAME`.
        advance: is called once per file.

    Returns:
        How many files were written.

    Raises:
        DataError: see `find_written`; or a file cannot be written, or changed since the plan was
            made.
    """
    missing = planned.files.keys() - find_written(planned, root)
    remove_leftovers(root / planned.folder)
    names = {file: name for name, file in planned.files.items()}
    for row in read_rows(planned.sources) if missing else ():
        for column, content in row.images.items():
            digest = hashlib.sha256(content).hexdigest()
            name = names.get(PlannedFile(f"{row.origin}, {column} of {row.stem}", digest))
            if name is None:
                raise DataError(f"{row.origin} changed meanwhile: give the same command again")
            if name in missing:
                _write(root / planned.folder / name, content)
            advance()
    return len(missing)


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}): mend that and give the same command "
            "again, which writes the rest"
        ) from error
