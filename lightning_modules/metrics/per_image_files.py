"""Per-image scores on disk: a table for people, and beside it the counts that curves follow from.

`NAME.csv` has one row per image: data set, name, status, scores (empty where they are undefined),
and protocol, by which the task is told. `NAME.npz` holds the counts: of saliency, pixels at 256
thresholds, without which max and mean F and E could not be averaged anew; of segmentation, pixels
per class. It names the table it belongs to by a digest, so that a file of another run is never
mixed in.
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
from lightning_modules.metrics.confusion_records import ConfusionRecords
from lightning_modules.metrics.image_records import ImageRecords
from lightning_modules.metrics.per_image_scores import PerImageScores
from mutualformer.errors import UserError

SCORED = "scored"
_DIGEST = "digest_of_csv"
_CLASSES = "classes"
_KINDS: dict[str, type[ImageRecords]] = {
    kind.protocol_name: kind for kind in (PerImageScores, ConfusionRecords)
}
_BYTES_OF_HEADERS = 100_000
_MOST_CLASSES = 255


def write_per_image_scores(
    path: Path, scores: ImageRecords, unscored: list[tuple[str, str, str]] | None = None
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
        row = ["" if math.isnan(column[index]) else repr(column[index]) for column in columns]
        writer.writerow([dataset, name, SCORED, *row, scores.protocol_name])
    for dataset, name, status in unscored or []:
        writer.writerow([dataset, name, status, *[""] * len(values), scores.protocol_name])
    table = text.getvalue().encode()

    arrays: dict[str, Any] = {name: count.numpy() for name, count in scores.counts.items()}
    if scores.classes:
        arrays[_CLASSES] = np.array(scores.classes)
    arrays[_DIGEST] = np.array(hashlib.sha256(table).hexdigest())
    # First, so that an interruption leaves two files that do not belong together and say so.
    write_atomically(counts_path(path), lambda file: np.savez_compressed(file, **arrays))
    write_atomically(path, table)


def read_per_image_scores(path: Path) -> ImageRecords:
    """Read what `write_per_image_scores` wrote; images without scores are left out.

    Without the `.npz` file beside it, the result has no counts, which not all tasks can do without.

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
        kind = _KINDS.get(next(iter(protocols), "")) if len(protocols) == 1 else None
        values = {
            name: torch.tensor([float(row[name]) for row in scored], dtype=torch.float64)
            for name in (kind.averages if kind else ())
            if name in scored[0]
        }
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a table of per-image scores ({error}), expected the per_image_scores.csv "
            "of a test run, or what evaluate --per-image wrote: check the path"
        ) from error
    if not scored:
        raise UserError(f"{path}: no scored image, expected some: score anew")
    if kind is None:
        raise UserError(
            f"{path}: protocol {', '.join(sorted(map(str, protocols)))}, expected "
            f"{' or '.join(_KINDS)}: score anew"
        )
    if not all(map(math.isfinite, (x for column in values.values() for x in column.tolist()))):
        raise UserError(f"{path}: holds a score that is no finite number: score anew")
    if strange := [word for name in names for word in name if not word.isprintable()]:
        raise UserError(f"{path}: the name {strange[0]!r} holds control characters: rename it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{path}: {'/'.join(twice)} is there more than once: score anew")
    counts, classes = _read_counts(path, table, len(names), kind)
    return kind(
        [dataset for dataset, _ in names], [name for _, name in names], values, counts, classes
    )


def counts_path(path: Path) -> Path:
    """Return where the counts of a table lie."""
    return path.with_suffix(".npz")


def _read_counts(
    path: Path, table: bytes, num_images: int, kind: type[ImageRecords]
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    counts = counts_path(path)
    if not counts.is_file():
        if kind.averages:
            return {}, ()
        raise UserError(f"{path}: no {counts.name} beside it, of which all scores follow: copy it")
    most_bytes = 8 * num_images * sum(kind.count_widths(_MOST_CLASSES).values())
    try:
        with zipfile.ZipFile(counts) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
        # A megabyte of zeros can be a kilobyte of a zip file.
        if announced > most_bytes + _BYTES_OF_HEADERS:
            raise UserError(f"{announced} bytes are too many for {num_images} images")
        with np.load(counts, allow_pickle=False) as stored:
            arrays = dict(stored)
        digest = str(arrays.pop(_DIGEST))
        classes = tuple(map(str, arrays.pop(_CLASSES, ())))
        if strange := [x for x in classes if not x.isprintable()]:
            raise UserError(f"the class {strange[0]!r:.80} holds control characters")
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        widths = kind.count_widths(len(classes))
        if shapes != {name: (num_images, width) for name, width in widths.items()}:
            raise UserError(f"it holds {shapes}")
        if any(x.is_floating_point() or (x < 0).any() for x in tensors.values()):
            raise UserError("it holds other numbers than counts")
    # NumPy and zipfile raise nearly anything for a damaged file.
    except Exception as error:
        raise UserError(f"{counts}: cannot be read ({error}): score anew") from error
    if digest != hashlib.sha256(table).hexdigest():
        raise UserError(
            f"{counts}: belongs to another table than {path.name}, or the table was edited: score "
            "anew, or remove the .npz file to compare without curves"
        )
    return tensors, classes
