"""Choose a value of a swept parameter for each row, by scores on held-out training data alone."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_modules.runs.score import lower_is_better
from lightning_modules.tables.planned_rows import PlannedRow, label_of
from lightning_modules.tables.runs import Run
from lightning_modules.tables.table import MISSING, Row
from mutualformer.errors import UserError

_KEYS = {"parameter", "by"}
_REMARKS = {
    "prov": "Provisional: not all runs of this row say how they scored on held-out training data, "
    "so that another value may be chosen yet.",
    "tie": "Another value scored the same on held-out training data; the first one is shown.",
    "open": "Nothing is chosen: no run of this row says how it scored on held-out training data.",
}


@dataclass(frozen=True)
class Choice:
    """What a table definition asks for under `choose`.

    Attributes:
        parameter: the varied parameter, by the short name that heads its label column.
        by: a score on held-out training data, as `checkpoint.monitor` names it.
    """

    parameter: str
    by: str


@dataclass(frozen=True)
class Chosen:
    """The rows that are left, one for each combination of the other parameters.

    Attributes:
        rows: in order, with the runs of the value that was chosen.
        runs: those with results, by the new positions of their rows.
        places: of the former rows among the new ones.
        marks: of each row, names in `footnotes`.
        note: how it was chosen.
        problems: runs that do not say what they scored on held-out data.
    """

    rows: tuple[PlannedRow, ...]
    runs: list[Run]
    places: tuple[int, ...]
    marks: tuple[tuple[str, ...], ...]
    note: str
    problems: list[str]

    def marked(self, rows: Sequence[Row]) -> tuple[list[Row], list[tuple[str, str]]]:
        """Add the marks to rows; return the footnotes, too."""
        marked = [
            replace(
                row,
                marks=(*row.marks, *marks),
                notes=(*row.notes, *(_REMARKS[mark] for mark in marks)),
            )
            for row, marks in zip(rows, self.marks, strict=True)
        ]
        used = {mark for marks in self.marks for mark in marks}
        return marked, [(mark, text) for mark, text in _REMARKS.items() if mark in used]


def read_choice(path: Path, given: Any, rows: Sequence[PlannedRow]) -> Choice | None:
    """Read what a definition has under `choose`.

    Raises:
        UserError: it names no varied parameter, or a score that nothing may be chosen by.
    """
    if given is None:
        return None
    if not isinstance(given, dict) or given.keys() != _KEYS:
        raise UserError(f"{path}: choose is {given!r}, expected parameter: NAME and by: SCORE")
    axes = list(rows[0].values)
    if given["parameter"] not in axes:
        expected = f"one of {', '.join(axes)}" if axes else "one that a sweep varies"
        raise UserError(f"{path}: choose.parameter is {given['parameter']!r}, expected {expected}")
    by = given["by"]
    if not isinstance(by, str) or not by.startswith("val/") or not by.isprintable():
        raise UserError(
            f"{path}: choose.by is {by!r}: nothing is chosen on a test set; expected a score on "
            "held-out training data, such as val/held_out/s_measure"
        )
    return Choice(given["parameter"], by)


def without(row: PlannedRow, parameter: str) -> PlannedRow:
    """Return a row without one of the parameters that tell it from others."""
    values = {axis: value for axis, value in row.values.items() if axis != parameter}
    return replace(row, labels=tuple(map(label_of, values.values())), values=values)


def choose_rows(choice: Choice, planned: Sequence[PlannedRow], runs: Sequence[Run]) -> Chosen:
    """Keep, of the rows that differ in the parameter alone, the one with the best mean score.

    Means are over the seeds that are there; where some are not, the row is marked.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, row in enumerate(planned):
        groups.setdefault(without(row, choice.parameter).labels, []).append(position)
    of_row = [[run for run in runs if run.row == position] for position in range(len(planned))]
    known = [
        [run.results.validation[choice.by] for run in made if choice.by in run.results.validation]
        for made in of_row
    ]
    problems = [
        _problem(choice, planned[run.row], run)
        for run in runs
        if choice.by not in run.results.validation
    ]
    lower = lower_is_better(choice.by, [x for run in runs for x in run.results.descriptions])
    rows, kept, marks = [], list[Run](), []
    for positions in groups.values():
        means = {x: statistics.fmean(known[x]) for x in positions if known[x]}
        if not means:
            rows.append(_open(planned[positions[0]], choice.parameter))
            marks.append(("open",) if any(of_row[x] for x in positions) else ())
            continue
        best = (min if lower else max)(means.values())
        first, *others = [x for x, mean in means.items() if mean == best]
        whole = all(len(known[x]) == len(planned[x].runs) for x in positions)
        marks.append((*(() if whole else ("prov",)), *(("tie",) if others else ())))
        kept += [replace(run, row=len(rows)) for run in of_row[first]]
        rows.append(planned[first])
    places = {x: place for place, positions in enumerate(groups.values()) for x in positions}
    values = dict.fromkeys(label_of(row.values[choice.parameter]) for row in planned)
    return Chosen(
        rows=tuple(rows),
        runs=kept,
        places=tuple(places[x] for x in range(len(planned))),
        marks=tuple(marks),
        note=f"{choice.parameter}: of {', '.join(values)}, that with the best mean of {choice.by} "
        "over the seeds, on held-out training data; no test score has a say in it.",
        problems=problems,
    )


def _open(row: PlannedRow, parameter: str) -> PlannedRow:
    """Return the row of a group in which nothing can be chosen yet."""
    labels = (
        MISSING if axis == parameter else label_of(value) for axis, value in row.values.items()
    )
    return replace(row, labels=tuple(labels))


def _problem(choice: Choice, row: PlannedRow, run: Run) -> str:
    seed = "" if run.planned.seed is None else f", seed {run.planned.seed}"
    has = ", ".join(run.results.validation) or "none"
    return (
        f"{row.name}{seed}: {run.results.path} has no {choice.by} of the checkpoint that was "
        f"tested (of scores on held-out data: {has}); run mutualformer test again on best.ckpt, or "
        "choose by the score that checkpoint.monitor named"
    )
