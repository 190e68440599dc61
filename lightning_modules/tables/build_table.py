"""Fill a table definition with published scores and the results of runs."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

from lightning_modules.runs.score import Score
from lightning_modules.runs.shipped import portable_name
from lightning_modules.tables.choice import choose_rows
from lightning_modules.tables.footnotes import mark_rows, note_on_stale
from lightning_modules.tables.kept_results import kept_path, read_kept
from lightning_modules.tables.planned_rows import PlannedRow
from lightning_modules.tables.planned_scores import may_score, other_modules, scores_of_class
from lightning_modules.tables.provenance import has_uncommitted_changes
from lightning_modules.tables.runs import Run, read_runs
from lightning_modules.tables.seed_intervals import (
    ON_SEED_DIFFERENCES,
    compare_over_seeds,
    half_width,
)
from lightning_modules.tables.table import Cell, Column, Interval, Row, Table, rank_columns
from lightning_modules.tables.table_file import TableFile
from lightning_modules.tasks import TASKS, Task
from mutualformer.errors import UserError

_NOTHING_YET = "no results yet"
_REFERENCE = "ref"
_DEVIATION = "sample standard deviation"
_ON_DIFFERENCES = (
    "Second line of a cell: difference to {reference}, and its 95 % interval by paired bootstrap; "
    "{num_resamples} resamples of the test images, the same for all rows and seeds, each seed "
    "scored anew and the seeds averaged. The interval tells of the choice of test images for these "
    "trained networks; of the training, ± tells."
)


def build_table(file: TableFile, num_resamples: int) -> Table:
    """Read all results, and put into every cell what there is for it.

    Args:
        file: the definition.
        num_resamples: of the intervals of differences.

    Raises:
        ValueError: a data set of the definition is in no run and no publication.
    """
    runs, missing, problems = read_runs(file.rows, read_kept(kept_path(file.path)))
    chosen = None
    if file.choice is not None:
        chosen = choose_rows(file.choice, file.rows, runs)
        notes_on_choice = (*file.notes, chosen.note)
        new = {chosen.places[x]: chosen.places[y] for x, y in enumerate(file.references)}
        references = tuple(new[x] for x in sorted(new))
        file = replace(file, rows=chosen.rows, references=references, notes=notes_on_choice)
        runs, problems = chosen.runs, problems + chosen.problems
    datasets = _datasets(file, runs)
    scores, unknown, more_problems = _scores(file, runs)
    problems += more_problems
    columns = tuple((dataset, score) for dataset in datasets for score in scores)
    of_row = [[run for run in runs if run.row == position] for position in range(len(file.rows))]
    rows = [
        Row(planned.labels, _cells(file, planned, made, columns), published=not planned.runs)
        for planned, made in zip(file.rows, of_row, strict=True)
    ]
    for run in runs:
        problems += _gaps(file.rows[run.row], run, columns)
    notes = [*file.notes, *_notes_on_numbers(file, rows)]
    if any(of_row[reference] for reference in file.references):
        if file.over_seeds:
            rows = compare_over_seeds(rows, of_row, columns, file.references)
        else:
            rows, more_notes, more_problems = _compared(file, rows, of_row, columns, num_resamples)
            notes += more_notes
            problems += more_problems
    rows = rank_columns(rows, columns, file.digits)
    rows, footnotes = mark_rows(file, rows, of_row, datasets)
    if chosen is not None:
        rows, on_choices = chosen.marked(rows)
        footnotes += on_choices
    if any(cell.interval is not None for row in rows for cell in row.cells):
        for place in set(file.references):
            rows[place] = replace(rows[place], marks=(*rows[place].marks, _REFERENCE))
        text = ON_SEED_DIFFERENCES if file.over_seeds else _ON_DIFFERENCES
        alike = " and ".join(file.compared_alike)
        which = f"the row marked so that has the same {alike}" if alike else "this row"
        text = text.format(reference=which, num_resamples=num_resamples)
        footnotes.append((_REFERENCE, text))
    return Table(
        title=file.title,
        label_headings=file.label_headings,
        columns=columns,
        rows=tuple(rows),
        digits=file.digits,
        footnotes=tuple(footnotes),
        notes=(*notes, *_notes_on_runs(runs, datasets), *_note_on_unknown(unknown)),
        problems=tuple(problems),
        missing=tuple(missing),
        fill_all=file.fill_all,
        # Nothing says yet which side of an unknown score is better.
        headings=tuple(x.name if x.name in unknown else x.titled for _, x in columns),
        planned=file.rows,
    )


def _datasets(file: TableFile, runs: Sequence[Run]) -> Sequence[str]:
    in_runs = list(dict.fromkeys(name for run in runs for name in run.results.scores))
    if not file.datasets:
        return in_runs or [_NOTHING_YET]
    published = {dataset for row in file.rows for dataset, _ in row.published or ()} - {""}
    known = sorted(published | set(in_runs))
    for dataset in file.datasets:
        if known and dataset not in known:
            raise UserError(
                f"{file.path}: unknown data set {dataset}, expected one of {', '.join(known)}"
            )
    return file.datasets


def _scores(file: TableFile, runs: Sequence[Run]) -> tuple[list[Score], list[str], list[str]]:
    """Return descriptions of all scores, names that are not known yet, and contradictions."""
    described = [(run.results.path, score) for run in runs for score in run.results.descriptions]
    modules = [] if runs else other_modules(file.rows)
    described += [(file.path, score) for x in modules for score in scores_of_class(x)]
    if not described or any(row.published for row in file.rows):
        published = [(file.path, score) for task in _tasks(file) for score in task.scores]
        described = published + described
    known: dict[str, Score] = {}
    problems = []
    for path, score in described:
        usual = known.setdefault(score.name, score)
        if (usual.heading, usual.higher_is_better) != (score.heading, score.higher_is_better):
            problems.append(f"{path} means another score by {score.name}: {score.titled}")
    headed = {name: score for name, score in known.items() if score.heading}
    unknown = [name for name in file.metrics if name not in headed]
    for name in unknown:
        if not any(may_score(module, name) for module in modules):
            raise UserError(
                f"{file.path}: unknown score {name!r} in metrics, expected {', '.join(headed)}"
            )
    headed |= {name: Score(name, name) for name in unknown}
    names = file.metrics or [name for name, score in headed.items() if score.main]
    return [headed[name] for name in names], unknown, problems


def _tasks(file: TableFile) -> list[Task]:
    """Return the tasks whose scores a table without runs may show: the published ones, if any."""
    if file.metrics:
        return list(TASKS.values())
    stated = {metric for row in file.rows for _, metric in row.published or ()}
    found = [x for x in TASKS.values() if stated & {score.name for score in x.scores}]
    return found or list(TASKS.values())[:1]


def _cells(
    file: TableFile,
    planned: PlannedRow,
    runs: Sequence[Run],
    columns: Sequence[Column],
) -> tuple[Cell, ...]:
    if planned.published is not None:
        return tuple(Cell(planned.published.get((dataset, x.name))) for dataset, x in columns)
    cells = []
    for dataset, score in columns:
        scores = [run.score(dataset, score.name) for run in runs]
        known = [value for value in scores if value is not None]
        cells.append(
            Cell(
                value=statistics.fmean(known) if known else None,
                std=statistics.stdev(known) if len(known) > 1 else None,
                half_width=half_width(known) if file.over_seeds else None,
                num_seeds=len(known),
                all_seeds=len(known) == len(planned.runs),
            )
        )
    return tuple(cells)


def _gaps(planned: PlannedRow, run: Run, columns: Sequence[Column]) -> list[str]:
    """Say which scores a run should have and does not."""
    lacking: dict[str, list[str]] = {}
    for dataset, score in columns:
        if run.score(dataset, score.name) is None:
            lacking.setdefault(dataset, []).append(score.name)
    problems = []
    for dataset, metrics in lacking.items():
        what = f"no {', '.join(metrics)}" if dataset in run.results.scores else "no scores"
        seed = "" if run.planned.seed is None else f", seed {run.planned.seed}"
        problems.append(
            f"{planned.name}{seed}: {run.results.path} has {what} of {dataset}; run mutualformer "
            "test again, on all data sets of the table"
        )
    return problems


def _compared(
    file: TableFile,
    rows: Sequence[Row],
    of_row: Sequence[Sequence[Run]],
    columns: Sequence[Column],
    num_resamples: int,
) -> tuple[list[Row], list[str], list[str]]:
    """Give all rows their difference to their reference; return them, notes and problems."""
    from lightning_modules.report.comparison_report import FEW_IMAGES
    from lightning_modules.tables.intervals import RowIntervals, difference_intervals

    names = [(dataset, score.name) for dataset, score in columns]
    intervals = RowIntervals(names, num_resamples)
    of_references = {x: intervals.resampled_row(of_row[x]) for x in dict.fromkeys(file.references)}
    compared = []
    for position, (row, reference) in enumerate(zip(rows, file.references, strict=True)):
        if position == reference or not of_row[position]:
            compared.append(row)
            continue
        resampled = intervals.resampled_row(of_row[position])
        ends = difference_intervals(resampled, of_references[reference])
        cells = [
            cell
            if cell.value is None or of_reference.value is None
            else replace(
                cell,
                interval=Interval(cell.value - of_reference.value, *ends.get(column, (None, None))),
            )
            for cell, of_reference, column in zip(
                row.cells, rows[reference].cells, names, strict=True
            )
        ]
        compared.append(replace(row, cells=tuple(cells)))
    notes = [f"No interval, other images: {reason}" for reason in intervals.incomparable]
    notes += [
        f"{count} images of {dataset} are few: the true intervals are wider."
        for dataset, count in intervals.num_images.items()
        if count < FEW_IMAGES
    ]
    if intervals.absent:
        folders = ", ".join(map(str, dict.fromkeys(intervals.absent)))
        notes.append(f"No interval where per_image_scores.csv or .npz is missing: {folders}")
    return compared, notes, intervals.problems


def _notes_on_numbers(file: TableFile, rows: Sequence[Row]) -> list[str]:
    notes = []
    cells = [cell for row in rows for cell in row.cells]
    if any(cell.std is not None for cell in cells):
        seeds = {tuple(run.seed for run in row.runs) for row in file.rows if row.runs}
        which = f" {', '.join(map(str, seeds.pop()))}" if len(seeds) == 1 else ""
        spread = "half of the 95 % interval (Student's t)" if file.over_seeds else _DEVIATION
        notes.append(f"Mean ± {spread} over the seeds{which} of the training.")
    if any(cell.value is not None and not cell.all_seeds for cell in cells):
        notes.append("n: seeds with results, where some are missing.")
    return notes


def _notes_on_runs(runs: Sequence[Run], datasets: Sequence[str]) -> list[str]:
    """Say how and by which code the scores of the runs were made."""
    if not runs:
        return []
    counts = {
        name: count for run in reversed(runs) for name, count in run.results.num_images.items()
    }
    images = ", ".join(f"{name} {counts[name]}" for name in datasets if name in counts)
    commits = dict.fromkeys(str((run.results.git or {}).get("commit"))[:7] for run in runs)
    code = f"commit {', '.join(commits)}".replace("None", "unknown")
    if all(map(has_uncommitted_changes, runs)):
        code += " with uncommitted changes"
    return [
        f"Runs: {code}; test images: {images}.",
        *_note_on_kept(runs),
        *note_on_stale(runs),
        *(f"Scores of runs: {text}." for text in dict.fromkeys(r.results.protocol for r in runs)),
    ]


def _note_on_unknown(names: Sequence[str]) -> list[str]:
    return [f"Whether runs score {', '.join(names)} is known with the first one."] if names else []


def _note_on_kept(runs: Sequence[Run]) -> list[str]:
    kept = [run for run in runs if run.is_kept]
    notes = []
    if kept:
        file = portable_name(kept[0].results.path)
        notes = [f"{len(kept)} of {len(runs)} runs: {file.as_posix()}."]
    confirmations = {
        str(x["folder"]): str(x["commit"]) for run in kept if (x := run.results.confirmed)
    }
    return notes + [
        f"{folder} was made again at commit {commit[:7]}, and its scores are the same."
        for folder, commit in confirmations.items()
    ]
