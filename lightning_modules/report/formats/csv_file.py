"""A table as CSV: one line per cell, numbers unrounded, no marks."""

import csv
import io

from lightning_modules.report.escape import escape_csv
from lightning_modules.tables.table import Cell, Table

_COLUMNS = [
    *("dataset", "metric", "value", "std", "half_width", "num_seeds"),
    *("difference", "difference_low", "difference_high", "published", "note"),
]


def render_csv(table: Table) -> str:
    """Return the cells row by row; what is not there is empty, what was flagged is in `note`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.label_headings, *_COLUMNS])
    for row in table.rows:
        labels = [escape_csv(label) for label in row.labels]
        note = escape_csv("; ".join(row.notes))
        for (dataset, score), cell in zip(table.columns, row.cells, strict=True):
            numbers = ["" if number is None else repr(number) for number in _numbers(cell)]
            published = "yes" if row.published else "no"
            seeds = "" if row.published else cell.num_seeds
            cells = [escape_csv(dataset), score.name, *numbers[:3], seeds, *numbers[3:]]
            writer.writerow([*labels, *cells, published, note])
    return text.getvalue()


def _numbers(cell: Cell) -> list[float | None]:
    interval = cell.interval
    ends = [None] * 3 if interval is None else [interval.difference, interval.low, interval.high]
    return [cell.value, cell.std, cell.half_width, *ends]
