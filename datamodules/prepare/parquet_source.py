"""Data sets in Parquet files, as Hugging Face `datasets` stores them."""

import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from datamodules.errors import DataError
from datamodules.prepare.source_file import DEPTH, MASK, RGB, SourceFile, check_size
from datamodules.reading.dataset_folder import EXTENSIONS
from datamodules.reading.open_image import FORMATS

# Columns of RGBD-SOD/rgbdsod_datasets.
_COLUMNS = {"rgb": RGB, "depth": DEPTH, "gt": MASK}
_NAME_COLUMN = "name"
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif"}
# Names that the hub gives where the author gave none.
_NO_NAMES = ("data", "default")
_ROWS_AT_ONCE = 16


class ParquetSource:
    """The images in Parquet files with the columns rgb, depth, gt and name.

    An image is a struct `{bytes, path}`, as `datasets` stores it, or its bytes. How the hub's copy
    is divided into files could not be seen; it is assumed to follow the hub's convention,
    `[DATASET/]SPLIT-00000-of-00002.parquet`, and options say otherwise.

    Args:
        root: Folder that the files are in or below.
        files: The files.
    """

    def __init__(self, root: Path, files: list[Path]) -> None:
        self.root = root
        self.files = files

    def list_files(self) -> list[SourceFile]:
        """Return the images of all rows, in their order.

        Raises:
            DataError: If pyarrow is missing, a file is damaged, or a row is not as expected.
        """
        return [file for file, _ in self._read()]

    def read_files(self, files: Collection[SourceFile]) -> Iterator[tuple[SourceFile, bytes]]:
        """Yield images with their contents."""
        wanted = set(files)
        for file, content in self._read():
            if file in wanted:
                yield file, content

    def _read(self) -> Iterator[tuple[SourceFile, bytes]]:
        parquet = _import_parquet()
        for number, path in enumerate(self.files):
            inside = path.relative_to(self.root)
            split = re.sub(r"-\d+-of-\d+$", "", path.stem)
            parts = tuple(part for part in (*inside.parts[:-1], split) if part not in _NO_NAMES)
            with _opened(path), parquet.ParquetFile(path) as table:
                _check_columns(path, table.schema_arrow.names)
                row = 0
                for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[*_COLUMNS, _NAME_COLUMN]):
                    for values in batch.to_pylist():
                        origin = f"{path}: row {row}"
                        stem = _stem_of(values[_NAME_COLUMN], origin)
                        for column, kind in _COLUMNS.items():
                            where = f"{origin}, {column} of {stem}"
                            content = _bytes_of(values[column], where)
                            suffix = _suffix_of(content, where)
                            yield (
                                SourceFile(
                                    parts,
                                    kind,
                                    column,
                                    stem,
                                    suffix,
                                    len(content),
                                    where,
                                    position=(number, row),
                                ),
                                content,
                            )
                        row += 1


def _import_parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "Parquet files need pyarrow, which is not installed: pip install 'mutualformer[data]'"
        ) from error
    return parquet


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}): get the file anew") from error


def _check_columns(path: Path, found: list[str]) -> None:
    missing = [column for column in (*_COLUMNS, _NAME_COLUMN) if column not in found]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}, expected {', '.join(_COLUMNS)} and "
            f"{_NAME_COLUMN} (found {', '.join(found)}): rename the columns, or export the images "
            "into folders and give those"
        )


def _stem_of(name: Any, origin: str) -> str:
    """Return the name of a sample: without folders, and without an extension if it has one."""
    last = PurePosixPath(name).name if isinstance(name, str) else ""
    stem = last[: last.rindex(".")] if last.lower().endswith(EXTENSIONS) else last
    if not stem or stem.startswith(".") or "\\" in stem or "\0" in stem:
        raise DataError(
            f"{origin}: its {_NAME_COLUMN} is {name!r}, expected the name of an image: mend the row"
        )
    return stem


def _bytes_of(value: Any, origin: str) -> bytes:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes) or not content:
        raise DataError(
            f"{origin}: holds no image, expected its bytes in the file: export the data set with "
            "its images embedded"
        )
    check_size(len(content), origin)
    return content


def _suffix_of(content: bytes, origin: str) -> str:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return _SUFFIXES[image.format or ""]
    except Exception as error:  # Pillow raises nearly anything for a damaged file
        raise DataError(
            f"{origin}: its bytes are no image in {', '.join(sorted(set(_SUFFIXES)))}: get the "
            "file anew"
        ) from error
