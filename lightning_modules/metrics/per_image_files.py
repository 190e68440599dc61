"""Per-image scores on disk: a table for people, and beside it the counts that curves follow from.

`NAME.csv` has one row per image: data set, name, status, scores, protocol. `NAME.npz` holds the
pixel counts at 256 thresholds, without which max and mean F and E could not be averaged anew. It
names the table it belongs to by a digest, so that a file of another run is never mixed in.
"""

import csv
import hashlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datamodules.files import write_atomically
from lightning_modules.metrics.per_image_scores import AVERAGED_SCORES, PerImageScores
from lightning_modules.metrics.protocol import PROTOCOL_NAME
from mutualformer.errors import UserError

SCORED = "scored"
_DIGEST = "digest_of_csv"
# Of the arrays in the .npz file.
_WIDTHS = {"true_positives": 256, "false_positives": 256, "foreground": 1, "background": 1}
_BYTES_PER_IMAGE = 8 * sum(_WIDTHS.values())
_BYTES_OF_HEADERS = 100_000


def write_per_image_scores(
    path: Path, scores: PerImageScores, unscored: list[tuple[str, str, str]] | None = None
) -> None:
    """Write `path` and, beside it, the same name ending in `.npz`; each whole or not at all.

    Args:
        path: the table, ending in `.csv`.
        scores: the images.
        unscored: data set, name and what is missing of the images that were left out; they get
            rows without scores.
    """
    values = scores.image_scores()
    columns = [value.tolist() for value in values.values()]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "name", "status", *values, "protocol"])
    for index, (dataset, name) in enumerate(zip(scores.datasets, scores.names, strict=True)):
        # repr of a float reads back to the same bits.
        row = [repr(column[index]) for column in columns]
        writer.writerow([dataset, name, SCORED, *row, PROTOCOL_NAME])
    for dataset, name, status in unscored or []:
        writer.writerow([dataset, name, status, *[""] * len(values), PROTOCOL_NAME])
    table = text.getvalue().encode()

    arrays: dict[str, Any] = {name: count.numpy() for name, count in scores.counts.items()}
    arrays[_DIGEST] = np.array(hashlib.sha256(table).hexdigest())
    # First, so that an interruption leaves two files that do not belong together and say so.
    write_atomically(counts_path(path), lambda file: np.savez_compressed(file, **arrays))
    write_atomically(path, table)


def read_per_image_scores(path: Path) -> PerImageScores:
    """Read what `write_per_image_scores` wrote; images without scores are left out.

    Without the `.npz` file beside it, the result has no counts.

    Raises:
        ValueError: the file is missing or not such a table, holds an image twice or no image, is
            of another protocol, or the counts beside it are of another table.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected per-image scores: check the path")
    table = path.read_bytes()
    try:
        rows = list(csv.DictReader(io.StringIO(table.decode(), newline=""), strict=True))
        scored = [row for row in rows if row["status"] == SCORED]
        names = [(row["dataset"], row["name"]) for row in scored]
        protocols = {row["protocol"] for row in scored}
        values = {
            name: torch.tensor([float(row[name]) for row in scored], dtype=torch.float64)
            for name in AVERAGED_SCORES
            if scored and name in scored[0]
        }
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a table of per-image scores ({error}), expected the per_image_scores.csv "
            "of a test run, or what evaluate --per-image wrote: check the path"
        ) from error
    if not scored:
        raise UserError(f"{path}: no scored image, expected some: score anew")
    if protocols != {PROTOCOL_NAME}:
        raise UserError(
            f"{path}: protocol {', '.join(map(str, protocols))}, expected {PROTOCOL_NAME}: score "
            "anew"
        )
    if not all(map(math.isfinite, (x for column in values.values() for x in column.tolist()))):
        raise UserError(f"{path}: holds a score that is no finite number: score anew")
    if strange := [word for name in names for word in name if not word.isprintable()]:
        raise UserError(f"{path}: the name {strange[0]!r} holds control characters: rename it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: {'/'.join(twice)} is there more than once: score anew")
    return PerImageScores(
        [dataset for dataset, _ in names],
        [name for _, name in names],
        values,
        _read_counts(path, table, len(names)),
    )


def counts_path(path: Path) -> Path:
    """Return where the counts of a table lie."""
    return path.with_suffix(".npz")


def _read_counts(path: Path, table: bytes, num_images: int) -> dict[str, torch.Tensor]:
    counts = counts_path(path)
    if not counts.is_file():
        return {}
    try:
        with zipfile.ZipFile(counts) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
        # A megabyte of zeros can be a kilobyte of a zip file.
        if announced > num_images * _BYTES_PER_IMAGE + _BYTES_OF_HEADERS:
            raise UserError(f"{announced} bytes are too many for {num_images} images")
        with np.load(counts, allow_pickle=False) as stored:
            arrays = dict(stored)
        digest = str(arrays.pop(_DIGEST))
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != {name: (num_images, width) for name, width in _WIDTHS.items()}:
            raise UserError(f"it holds {shapes}")
    # NumPy and zipfile raise nearly anything for a damaged file.
    except Exception as error:
        raise UserError(f"{counts}: cannot be read ({error}): score anew") from error
    if digest != hashlib.sha256(table).hexdigest():
        raise UserError(
            f"{counts}: belongs to another table than {path.name}, or the table was edited: score "
            "anew, or remove the .npz file to compare without curves"
        )
    return tensors
