"""Samples in Parquet files, as Hugging Face `datasets` stores them."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import EXTENSIONS

# Columns of RGBD-SOD/rgbdsod_datasets, and the folder of each.
COLUMNS = {"rgb": "RGB", "depth": "depth", "gt": "GT"}
_NAME_COLUMN = "name"
_ROWS_AT_ONCE = 16


class ParquetRow(NamedTuple):
    """A sample: its name, where it is (for messages), and the bytes of each column of `COLUMNS`."""

    stem: str
    origin: str
    images: dict[str, bytes]


def find_parquet_files(source: Path) -> list[Path]:
    """Return the Parquet files that a source is or holds, hidden folders aside.

    Raises:
        DataError: there is none.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder, expected Parquet files: check the path")
    if source.is_dir():
        found = [
            path
            for path in sorted(source.rglob("*.parquet"))
            if not any(part.startswith(".") for part in path.relative_to(source).parts)
        ]
    else:
        found = [source] if source.suffix.lower() == ".parquet" else []
    if not found:
        raise DataError(
            f"{source}: no .parquet file, expected those of a copy of RGBD-SOD/rgbdsod_datasets: "
            "unpack an archive with unzip or tar; folders with RGB, depth and GT are read as they "
            "are, see mutualformer data check FOLDER"
        )
    return found


def read_rows(paths: Iterable[Path]) -> Iterator[ParquetRow]:
    """Yield the samples of Parquet files with the columns rgb, depth, gt and name, in order.

    An image is a struct `{bytes, path}`, as `datasets` stores it, or its bytes.

    Raises:
        DataError: pyarrow is missing, a file is damaged, or a row is not as expected.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "Parquet files need pyarrow, which is not installed: pip install 'mutualformer[data]'"
        ) from error
    for path in paths:
        with _opened(path), parquet.ParquetFile(path) as table:
            _check_columns(path, table.schema_arrow.names)
            number = 0
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=[*COLUMNS, _NAME_COLUMN]):
                for values in batch.to_pylist():
                    origin = f"{path}: row {number}"
                    stem = _stem_of(values[_NAME_COLUMN], origin)
                    images = {
                        column: _bytes_of(values[column], f"{origin}, {column} of {stem}")
                        for column in COLUMNS
                    }
                    yield ParquetRow(stem, origin, images)
                    number += 1


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}): get the file anew") from error


def _check_columns(path: Path, found: list[str]) -> None:
    missing = [column for column in (*COLUMNS, _NAME_COLUMN) if column not in found]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}, expected {', '.join(COLUMNS)} and "
            f"{_NAME_COLUMN} (found {', '.join(found)}): rename the columns"
        )


def _stem_of(name: Any, origin: str) -> str:
    """Return the name of a sample: without folders, and without an extension if it has one."""
    last = PurePosixPath(name).name if isinstance(name, str) else ""
    stem = last[: last.rindex(".")] if last.lower().endswith(EXTENSIONS) else last
    if re.match(r"\.|$", stem) or "\\" in stem or not stem.isprintable():
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
    return content
