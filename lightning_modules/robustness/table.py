"""Scores over corruptions and severities, as a table."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from datamodules.augmentation.corruption import Corruption
from lightning_modules.robustness.differences import difference, find_references
from lightning_modules.robustness.measure_runs import CLEAN, Robustness, RunRobustness
from lightning_modules.runs.score import Score
from lightning_modules.runs.shipped import portable_name
from lightning_modules.tables.seed_intervals import ON_SEED_DIFFERENCES
from lightning_modules.tables.table import Cell, Row, Table, rank_columns

_REFERENCE = "ref"


def main_score(measured: Sequence[Robustness]) -> Score:
    """Return the score that tables and figures show."""
    descriptions = measured[0].runs[0].descriptions
    return next((score for score in descriptions if score.main), descriptions[0])


def datasets_of(measured: Sequence[Robustness]) -> list[str]:
    """Return the test sets of all runs."""
    runs = [run for one in measured for run in one.runs]
    return list(dict.fromkeys(name for run in runs for name in run.scores[CLEAN]))


def cell_of(one: Robustness, key: str, dataset: str, score: str) -> Cell:
    """Return mean and sample standard deviation over the runs of a configuration.

    Args:
        one: the configuration.
        key: `CLEAN` or a corruption.
        dataset: test set.
        score: by name.
    """
    values = [run.scores[key].get(dataset, {}).get(score) for run in one.runs]
    known = [value for value in values if value is not None]
    return Cell(
        value=statistics.fmean(known) if known else None,
        std=statistics.stdev(known) if len(known) > 1 else None,
        num_seeds=len(known),
        all_seeds=len(known) == len(values),
    )


def robustness_table(
    measured: Sequence[Robustness], corruptions: Sequence[Corruption], reference: str | None = None
) -> Table:
    """Return a row for each configuration and test set, a column for each corruption.

    Args:
        measured: the configurations.
        corruptions: that were measured.
        reference: the configuration, or words of several, that the others are compared with.

    Raises:
        UserError: there is no such reference.
    """
    main, datasets = main_score(measured), datasets_of(measured)
    names = [one.label for one in measured]
    places = [] if reference is None else find_references(names, reference)
    columns = [(CLEAN, main)]
    for x in corruptions:
        name = f"{main.name}_at_{x.severity:g}".replace(".", "_").replace("-", "_")
        columns.append((f"{x.modality}:{x.kind}", replace(main, name=name)))
    several = len(datasets) > 1
    rows = []
    for dataset in datasets:
        for place, one in enumerate(measured):
            other = measured[places[place]] if places else one
            cells = []
            for key in (CLEAN, *map(str, corruptions)):
                cell = cell_of(one, key, dataset, main.name)
                if other is not one:
                    interval = difference(one, other, key, dataset, main.name)
                    cell = replace(cell, interval=interval)
                cells.append(cell)
            labels = (one.label, dataset) if several else (one.label,)
            marks = (_REFERENCE,) if place in places else ()
            rows.append(Row(labels, tuple(cells), marks))
    which = "the row marked so that is otherwise the same" if len({*places}) > 1 else "this row"
    text = ON_SEED_DIFFERENCES.format(reference=f"{which}{', on the same data' * several}")
    return Table(
        title=f"{main.titled} of clean and corrupted test images",
        label_headings=("Configuration", "Data set") if several else ("Configuration",),
        columns=tuple(columns),
        rows=tuple(rows if several else rank_columns(rows, columns, Table.digits)),
        headings=(main.titled, *(f"{x.severity:g}" for x in corruptions)),
        footnotes=((_REFERENCE, text),) if places else (),
        notes=(*_notes_on_seeds(measured, places), *_notes(measured, datasets)),
    )


def _notes_on_seeds(measured: Sequence[Robustness], places: Sequence[int]) -> list[str]:
    """Say which configurations have no difference although they have a reference."""
    seeds = [{run.seed for run in one.runs} - {None} for one in measured]
    return [
        f"No difference, no seed in common: {one.label} and {measured[place].label}."
        for one, own, place in zip(measured, seeds, places or range(len(seeds)), strict=True)
        if measured[place] is not one and not own & seeds[place]
    ]


def _notes(measured: Sequence[Robustness], datasets: Sequence[str]) -> list[str]:
    notes = [f"Test images of {datasets[0]}."] if len(datasets) == 1 else []
    if (most := max(len(one.runs) for one in measured)) > 1:
        notes.append(f"Mean ± sample standard deviation over up to {most} runs of a configuration.")
    notes += [
        f"{one.label} does not read {unread}: its scores are those of clean images."
        for one in measured
        for unread in sorted({run.unread for run in one.runs if run.unread})
    ]
    notes += _notes_of_kept([run for one in measured for run in one.runs])
    return [*notes, "Kinds and severities of corruption: docs/robustness.md."]


def _notes_of_kept(runs: Sequence[RunRobustness]) -> list[str]:
    commits = sorted({run.commit[:7] for run in runs if run.commit})
    notes = []
    if commits:
        file = portable_name(runs[0].file)
        notes = [f"Kept in {file.as_posix()}, tested at commit {', '.join(commits)}."]
    stale = sum(run.is_stale for run in runs)
    if stale:
        notes.append(
            f"Stale: code that {stale} of {len(runs)} runs depend on has changed since they were "
            "tested; they may score otherwise now."
        )
    return notes
