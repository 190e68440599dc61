"""The rows of a table and the runs that they are made of, as a definition plans them."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.sweep.sweep_file import Trial, read_sweep
from lightning_modules.sweep.trial_name import short_names
from lightning_modules.tables.published import PARAMETERS, read_published
from mutualformer.errors import UserError
from mutualformer.typed_path import typed_path

SEED = "seed_everything"


@dataclass(frozen=True)
class PlannedRun:
    """A run that a table needs, made or not.

    Attributes:
        folder: where its results lie.
        seed: of the training; None if the sweep has no seeds.
        command: the shell command that makes it.
        parameters: what the sweep sets, by dotted name.
    """

    folder: Path
    seed: int | None
    command: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedRow:
    """A row of a table, before any results are read.

    Attributes:
        labels: what it is called, one text per label column.
        runs: the same method with several seeds; empty for a published method.
        published: scores by (dataset, metric); None for runs.
        source: where the published scores are from.
        values: what the sweep varies, by the short names that head the label columns.
    """

    labels: tuple[str, ...]
    runs: tuple[PlannedRun, ...] = ()
    published: dict[tuple[str, str], float] | None = None
    source: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The labels in one text."""
        if self.values:
            return ", ".join(f"{axis}={label_of(value)}" for axis, value in self.values.items())
        return self.labels[0]


def rows_of_sweep(
    path: Path, name: Any, folder: Path | None, configs: Sequence[Path]
) -> tuple[tuple[str, ...], tuple[PlannedRow, ...], str]:
    """Make a row of every combination of the parameters of a sweep but the seed.

    Args:
        path: the table definition.
        name: of the sweep file beside it.
        folder: replaces the folder of the sweep.
        configs: replace the configurations of the sweep.

    Returns:
        The headings of the label columns, the rows, and the command that makes all runs.
    """
    sweep_path = _beside(path, "sweep", name)
    sweep = read_sweep(sweep_path, folder=folder, configs=configs or None)
    varied = [axis for axis in sweep.axes if axis != SEED]
    shown = [axis for axis in varied if len(sweep.axes[axis]) > 1] or varied
    if not shown:
        raise UserError(f"{sweep_path} varies nothing but the seed, expected a parameter")
    names = short_names(shown)
    trials: dict[tuple[str, ...], list[Trial]] = {}
    for trial in sweep.trials:
        labels = tuple(label_of(trial.parameters[axis]) for axis in shown)
        trials.setdefault(labels, []).append(trial)
    rows = tuple(
        PlannedRow(
            labels=labels,
            runs=tuple(
                PlannedRun(
                    trial.folder, trial.parameters.get(SEED), trial.command, trial.parameters
                )
                for trial in of_row
            ),
            values={names[axis]: of_row[0].parameters[axis] for axis in shown},
        )
        for labels, of_row in trials.items()
    )
    command = ["mutualformer", "sweep", str(sweep_path)]
    command += ["--folder", str(folder)] if folder else []
    command += [word for config in configs for word in ("--config", str(config))]
    return tuple(names.values()), rows, shlex.join(command)


def rows_of_list(path: Path, given: Any) -> tuple[tuple[str, ...], tuple[PlannedRow, ...]]:
    """Make the rows that a definition lists: published methods, and runs with several seeds.

    Args:
        path: the table definition.
        given: its ``rows``.

    Returns:
        The headings of the label columns, and the rows.
    """
    if not isinstance(given, list) or not given:
        raise UserError(f"{path}: rows is {given!r}, expected a non-empty list")
    rows: list[PlannedRow] = []
    for row in given:
        keys = set(row) if isinstance(row, dict) else set()
        if keys == {"published", "source"}:
            published = read_published(_beside(path, "published", row["published"]))
            source = one_line(path, "source", row["source"])
            for method, scores in published.items():
                labels = _labels(path, method, scores.get(("", PARAMETERS)))
                rows.append(PlannedRow(labels, published=scores, source=source))
        elif keys - {PARAMETERS} == {"name", "seeds", "folder", "command"}:
            rows.append(_row_of_runs(path, row))
        else:
            raise UserError(
                f"{path}: a row is {row!r:.200}, expected published and source, or name, seeds, "
                f"folder and command (and {PARAMETERS} if known)"
            )
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{path}: {len(twice)} rows are called {twice[0]!r}: tell them apart")
    return ("Method", "Params (M)"), tuple(rows)


def _row_of_runs(path: Path, row: dict[str, Any]) -> PlannedRow:
    labels = _labels(path, row["name"], row.get(PARAMETERS))
    folder, command = (one_line(path, key, row[key]) for key in ("folder", "command"))
    seeds = row["seeds"]
    if (
        not isinstance(seeds, list)
        or not seeds
        or not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise UserError(f"{path}: seeds of {labels[0]} is {seeds!r}, expected different integers")
    runs = []
    for seed in seeds:
        of_seed = folder.replace("{seed}", str(seed))
        filled = command.replace("{seed}", str(seed)).replace("{folder}", shlex.quote(of_seed))
        runs.append(PlannedRun(typed_path(of_seed, f"{path}: folder"), seed, filled))
    return PlannedRow(labels, tuple(runs))


def _labels(path: Path, name: Any, size: Any) -> tuple[str, str]:
    is_number = isinstance(size, int | float) and not isinstance(size, bool)
    if size is not None and not (is_number and 0 <= size <= 1e6):
        raise UserError(f"{path}: {PARAMETERS} is {size!r:.80}, expected a number of millions")
    return one_line(path, "name", name), "–" if size is None else f"{size:.2f}"


def label_of(value: Any) -> str:
    """Return the text of a parameter's value, the same for 0 and 0.0.

    >>> label_of(0.0), label_of(float("inf")), label_of([8, 16]), label_of("average")
    ('0', 'inf', '[8, 16]', 'average')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = " ".join(str(value).split())
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(path: Path, key: str, value: Any) -> str:
    """Return text in one line; an error for other values and for control characters.

    Args:
        path: the file that has the text, for the message.
        key: where in it.
        value: what should be text.
    """
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{path}: {key} is {value!r}, expected text")
    line = " ".join(value.split())
    if not line.isprintable():
        raise UserError(f"{path}: {key} is {value!r}, expected printable text")
    return line


def _beside(path: Path, key: str, value: Any) -> Path:
    named = typed_path(one_line(path, key, value), f"{path}: {key}")
    beside = Path(os.path.normpath(path.parent / named))
    if not beside.is_file():
        raise UserError(f"{path}: {key} is {value}, but there is no file {beside}")
    return beside
