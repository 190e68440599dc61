"""A table before it has a format: what is in every cell, and what is said about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from lightning_modules.runs.score import Score
from lightning_modules.tables.planned_rows import PlannedRow

Column = tuple[str, Score]  # data set and score
MISSING = "–"
PUBLISHED_MARKS = "†‡§¶"
# So many commands are listed beside one that makes all runs.
_MOST_COMMANDS = 6


@dataclass(frozen=True)
class Interval:
    """A difference to the reference row.

    Attributes:
        difference: this row minus the reference.
        low: lower end of its 95 % interval; None if there are no per-image scores.
        high: upper end.
    """

    difference: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Cell:
    """One score of one row.

    Attributes:
        value: the mean over seeds, or a published number; None where there is no run.
        std: sample standard deviation over seeds; None for fewer than two.
        num_seeds: how many it averages; 0 for a published number.
        all_seeds: the row has no further seed.
        interval: difference to the reference row; None for that row, or without one.
        rank: 1 for the best of the column, 2 for the second best, else 0.
        half_width: half of the 95 % interval of the mean over seeds, where the table asks for it.
        shown: text in the place of `value`, for numbers that are no scores.
    """

    value: float | None = None
    std: float | None = None
    num_seeds: int = 0
    all_seeds: bool = True
    interval: Interval | None = None
    rank: int = 0
    half_width: float | None = None
    shown: str = ""

    @property
    def spread(self) -> float | None:
        """What stands behind ±."""
        return self.std if self.half_width is None else self.half_width

    def text(self, digits: int) -> str:
        """Return mean and spread, `.978 ± .002`; with the number of seeds if some lack."""
        if self.value is None:
            return MISSING
        if self.shown:
            return self.shown
        text = decimal(self.value, digits)
        if self.spread is not None:
            text += f" ± {decimal(self.spread, digits)}"
        return text if self.all_seeds else f"{text} (n={self.num_seeds})"

    def difference_text(self, digits: int) -> str:
        """Return difference and interval, `+.004 [−.001, +.009]`; empty if there is none."""
        if self.interval is None:
            return ""
        text = decimal(self.interval.difference, digits, signed=True)
        if self.interval.low is None or self.interval.high is None:
            return text
        low, high = (
            decimal(end, digits, signed=True) for end in (self.interval.low, self.interval.high)
        )
        return f"{text} [{low}, {high}]"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        labels: what it is called, one text per label column.
        cells: one for each column.
        marks: refer to `Table.footnotes`.
        notes: what the footnotes say of this row, for formats without marks.
        published: the scores are another's, not computed here.
    """

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    published: bool = False


@dataclass(frozen=True)
class MissingRun:
    """A run that a cell waits for.

    Attributes:
        what: row and seed.
        command: the shell command that makes it.
        reason: why there are no results although it was run; empty if it was not.
    """

    what: str
    command: str
    reason: str = ""


@dataclass(frozen=True)
class Table:
    """Everything that a reader sees, whatever the format.

    Attributes:
        title: of the table.
        label_headings: of the columns that name a row.
        columns: data set and score of each column; neighbours share their data set, which may be
            empty: then nothing heads the group.
        rows: in order.
        digits: after the decimal point.
        footnotes: mark and text.
        notes: what to say below the table, without a mark.
        problems: runs that could not be used, or not fully.
        missing: runs still to be made.
        fill_all: one command that makes them all, if there is one.
        headings: what heads each column, instead of the names of the scores.
        planned: the rows before any results were read.
    """

    title: str
    label_headings: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    digits: int = 3
    footnotes: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    missing: tuple[MissingRun, ...] = ()
    fill_all: str | None = None
    headings: tuple[str, ...] = ()
    planned: tuple[PlannedRow, ...] = ()

    def heading(self, column: int) -> str:
        """Return what heads a column: by default its score, with an arrow to the better side."""
        return self.headings[column] if self.headings else self.columns[column][1].titled

    @property
    def datasets(self) -> list[tuple[str, list[Score]]]:
        """The data sets in order, each with the scores of its columns."""
        grouped: dict[str, list[Score]] = {}
        for dataset, score in self.columns:
            grouped.setdefault(dataset, []).append(score)
        return list(grouped.items())

    def lines_on_missing(self) -> list[str]:
        """Return a shell script that makes the missing runs, with comments that say which.

        Where one command makes them all, only some of the others are listed.
        """
        runs = list(self.missing)
        lines = []
        if self.fill_all:
            lines = ["# all of them", self.fill_all]
            untried = [run for run in runs if not run.reason]
            runs = [run for run in runs if run.reason] + untried[:_MOST_COMMANDS]
        for run in runs:
            reason = f" ({run.reason})" if run.reason else ""
            lines += [f"# {run.what}{reason}", run.command]
        if len(runs) < len(self.missing):
            lines.append(f"# and {len(self.missing) - len(runs)} more: the first command")
        return lines


def decimal(value: float, digits: int, *, signed: bool = False) -> str:
    """Return a number without the zero before its point, as tables of scores have it.

    >>> decimal(0.9216, 3), decimal(1, 3), decimal(-0.0012, 3, signed=True), decimal(-1e-9, 3)
    ('.922', '1.000', '−.001', '.000')
    """
    text = f"{abs(value):.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    if not any(character in "123456789" for character in text):
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def letter_mark(index: int) -> str:
    """Return the mark of a footnote by its number, from 0.

    >>> letter_mark(0), letter_mark(26)
    ('a', 'aa')
    """
    rest, position = divmod(index, len(ascii_lowercase))
    return (letter_mark(rest - 1) if rest else "") + ascii_lowercase[position]


def rank_columns(rows: Sequence[Row], columns: Sequence[Column], digits: int) -> list[Row]:
    """Mark the best and the second best of each column; what looks equal shares its mark.

    A column in which a single row has a value, or all have the same, has no best.
    """
    ranked = [list(row.cells) for row in rows]
    for position, (_, score) in enumerate(columns):
        shown = [_shown(row.cells[position], digits) for row in rows]
        distinct = sorted(_present(shown), reverse=score.higher_is_better)
        if len(distinct) < 2:
            continue
        for cells, value in zip(ranked, shown, strict=True):
            if value in distinct[:2]:
                rank = 1 + distinct.index(value)
                cells[position] = replace(cells[position], rank=rank)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, ranked, strict=True)]


def _shown(cell: Cell, digits: int) -> float | None:
    return None if cell.value is None else float(f"{cell.value:.{digits}f}")


def _present(values: Iterable[float | None]) -> set[float]:
    return {value for value in values if value is not None}
