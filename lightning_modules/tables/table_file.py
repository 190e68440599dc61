"""Read a table definition and enumerate the runs that it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.tables.choice import Choice, read_choice, without
from lightning_modules.tables.planned_rows import (
    PlannedRow,
    label_of,
    one_line,
    rows_of_list,
    rows_of_sweep,
)
from mutualformer.errors import UserError

_KEYS = {"title", "notes", "datasets", "metrics", "digits", "rows", "sweep", "reference", "plot"}
_KEYS |= {"choose", "intervals"}


@dataclass(frozen=True)
class TableFile:
    """A table definition, read and checked.

    Attributes:
        path: the file.
        title: of the table.
        notes: what to say below it.
        datasets: in order; empty: all that the runs have.
        metrics: names of the scores, in order; empty: the main ones of the runs.
        digits: after the decimal point.
        label_headings: of the label columns.
        rows: in order.
        references: for each row the position of the one that it is compared with, its own if it is
            one of them; empty: none are.
        compared_alike: the varied parameters that rows have in common with their reference.
        plot: the varied parameter on the x axis, if any.
        fill_all: the command that makes all runs, if there is one.
        choice: which of the rows are shown, if not all.
        over_seeds: intervals are over the seeds of the training, not over the test images.
    """

    path: Path
    title: str
    notes: tuple[str, ...]
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    digits: int
    label_headings: tuple[str, ...]
    rows: tuple[PlannedRow, ...]
    references: tuple[int, ...]
    plot: str | None
    fill_all: str | None
    compared_alike: tuple[str, ...] = ()
    choice: Choice | None = None
    over_seeds: bool = False


def read_table_file(
    path: Path, *, folder: Path | None = None, configs: Sequence[Path] = ()
) -> TableFile:
    """Read a table definition.

    Args:
        path: a YAML file; the files that it names are beside it, the folders of runs in the
            working directory.
        folder: replaces the folder of the sweep.
        configs: replace the configurations of the sweep.

    Raises:
        ValueError: the file, its sweep or its published scores cannot be read; it has a key or a
            value that no table has, names a row, a data set or a score that is not there, or has
            nothing to replace by `folder` or `configs`.
    """
    content = read_yaml_mapping(path, "a table")
    unknown = sorted(map(str, content.keys() - _KEYS))
    if unknown:
        raise UserError(f"{path}: unknown key {unknown[0]}, expected {', '.join(sorted(_KEYS))}")
    if ("sweep" in content) == ("rows" in content):
        raise UserError(f"{path}: expected either sweep: FILE or rows: [...]")
    if "sweep" in content:
        headings, rows, fill_all = rows_of_sweep(path, content["sweep"], folder, configs)
    else:
        if folder or configs:
            raise UserError(f"{path} has no sweep whose folder or configuration could be replaced")
        headings, rows = rows_of_list(path, content["rows"])
        fill_all = None
    _refuse_shared_folders(path, rows)
    digits = content.get("digits", 3)
    if type(digits) is not int or not 1 <= digits <= 6:
        raise UserError(f"{path}: digits is {digits!r}, expected an integer from 1 to 6")
    choice = read_choice(path, content.get("choose"), rows)
    plot = content.get("plot")
    if plot is not None and choice is not None:
        raise UserError(f"{path}: plot and choose exclude each other: leave one of them out")
    if plot is not None and plot not in list(rows[0].values):
        raise UserError(f"{path}: plot is {plot!r}, {_expected_axes(rows)}")
    intervals = content.get("intervals", "images")
    if intervals not in ("images", "seeds"):
        raise UserError(f"{path}: intervals is {intervals!r}, expected images or seeds")
    compared = [without(row, choice.parameter) for row in rows] if choice else rows
    references, alike = _find_references(path, content.get("reference"), compared)
    return TableFile(
        path=path,
        title=one_line(path, "title", content.get("title")),
        notes=tuple(one_line(path, "notes", note) for note in _list(path, content, "notes", [])),
        datasets=_read_datasets(path, content, rows),
        metrics=_read_metrics(path, content),
        digits=digits,
        label_headings=headings,
        rows=rows,
        references=references,
        compared_alike=alike,
        plot=plot,
        fill_all=fill_all,
        choice=choice,
        over_seeds=intervals == "seeds",
    )


def _list(path: Path, content: dict[Any, Any], key: str, default: list[Any]) -> list[Any]:
    values = content.get(key, default)
    if not isinstance(values, list):
        raise UserError(f"{path}: {key} is {values!r}, expected a list")
    return values


def _refuse_shared_folders(path: Path, rows: Sequence[PlannedRow]) -> None:
    folders = [run.folder for row in rows for run in row.runs]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise UserError(
            f"{path}: {len(twice)} runs share the folder {twice[0]}, expected one folder per run "
            "(with {seed} in its name)"
        )


def _read_datasets(
    path: Path, content: dict[Any, Any], rows: Sequence[PlannedRow]
) -> tuple[str, ...]:
    names = [one_line(path, "datasets", name) for name in _list(path, content, "datasets", [])]
    published = sorted({dataset for row in rows for dataset, _ in row.published or () if dataset})
    if published and not names:
        raise UserError(f"{path}: datasets is missing, expected some of {', '.join(published)}")
    return tuple(dict.fromkeys(names))


def _read_metrics(path: Path, content: dict[Any, Any]) -> tuple[str, ...]:
    if "metrics" not in content:
        return ()
    metrics = _list(path, content, "metrics", [])
    for metric in metrics or [None]:
        if not isinstance(metric, str):
            raise UserError(f"{path}: unknown score {metric!r} in metrics, expected names")
    return tuple(dict.fromkeys(metrics))


def _find_references(
    path: Path, reference: Any, rows: Sequence[PlannedRow]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the position of each row's reference, and which parameters it leaves open."""
    if reference is None:
        return (), ()
    axes = rows[0].values
    if not isinstance(reference, dict) or not reference or set(reference) - set(axes):
        raise UserError(
            f"{path}: reference is {reference!r}, expected {', '.join(axes)} of a row, or those of "
            "them in which it differs from the rows that are compared with it"
        )
    alike = tuple(axis for axis in axes if axis not in reference)
    stated = {axis: label_of(value) for axis, value in reference.items()}
    labels = [dict(zip(axes, row.labels, strict=True)) for row in rows]
    references = []
    for own in labels:
        wanted = {axis: stated.get(axis, value) for axis, value in own.items()}
        if wanted not in labels:
            raise UserError(
                f"{path}: reference {', '.join(wanted.values())} is not a row, expected one of "
                f"{' | '.join(dict.fromkeys(row.name for row in rows))}"
            )
        references.append(labels.index(wanted))
    return tuple(references), alike


def _expected_axes(rows: Sequence[PlannedRow]) -> str:
    axes = rows[0].values
    return f"expected one of {', '.join(axes)}" if axes else "which only a sweep can have"
