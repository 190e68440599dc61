"""Published scores: a CSV file with the columns method, dataset, metric, value."""

import csv
import io
import math
from pathlib import Path

from lightning_modules.tasks import TASKS
from mutualformer.errors import UserError

# The column for millions of parameters, which belong to a method and to no data set.
PARAMETERS = "params_m"
_COLUMNS = ["method", "dataset", "metric", "value"]


def read_published(path: Path) -> dict[str, dict[tuple[str, str], float]]:
    """Read published scores; what a paper leaves out is absent.

    Returns:
        By method, in the order of their first line among the scores, then by (dataset, metric);
        ``params_m`` has the data set ``""``.

    Raises:
        ValueError: the file cannot be read, has other columns, names a score unknown here, or a
            value that is none, or the same cell twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file: {error}") from error
    if not rows or list(rows[0]) != _COLUMNS:
        raise UserError(f"{path}: expected the columns {','.join(_COLUMNS)}, and a line per value")
    # Methods whose size is published come first in the file, which is no order of a table.
    in_order = [row for row in rows if row["dataset"]] + [row for row in rows if not row["dataset"]]
    methods: dict[str, dict[tuple[str, str], float]] = {}
    for row in in_order:
        key = (row["dataset"], row["metric"])
        scores = methods.setdefault(row["method"], {})
        if key in scores:
            raise UserError(f"{path}: {row['method']} has {row['metric']} of {key[0]!r} twice")
        scores[key] = _value(path, row)
    return methods


def _value(path: Path, row: dict[str, str]) -> float:
    scores = {x.name: x for task in TASKS.values() for x in task.scores if x.heading}
    where = f"{path}: {row['method']}, {row['dataset'] or 'no data set'}, {row['metric']}"
    of_method = not row["dataset"]
    if (row["metric"] != PARAMETERS) if of_method else (row["metric"] not in scores):
        known = PARAMETERS if of_method else ", ".join(scores)
        raise UserError(f"{where} is not a score known here, expected {known}")
    try:
        value = float(row["value"])
    except (TypeError, ValueError):
        value = math.nan
    if of_method:
        allowed, expected = 0 <= value <= 1e6, "a number of millions"
    else:
        score = scores[row["metric"]]
        allowed, expected = math.isfinite(value) and score.allows(value), score.expected
    if not allowed:
        raise UserError(f"{where} is {row['value']!r}, expected {expected}")
    return value
