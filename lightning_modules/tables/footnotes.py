"""Say below a table what sets rows apart."""

from collections.abc import Sequence
from dataclasses import replace

from lightning_modules.tables.provenance import find_deviations
from lightning_modules.tables.runs import Run
from lightning_modules.tables.stale import changed_since, known_commit
from lightning_modules.tables.table import PUBLISHED_MARKS, Row, letter_mark
from lightning_modules.tables.table_file import TableFile

# So many changed files are named.
_MOST_FILES = 3


def mark_rows(
    file: TableFile,
    rows: Sequence[Row],
    of_row: Sequence[Sequence[Run]],
    datasets: Sequence[str],
) -> tuple[list[Row], list[tuple[str, str]]]:
    """Mark rows of which something has to be said; return footnotes too.

    That is: published, not made here; made otherwise than the rest; by code that has changed since;
    here, where others are those of the repository; and what a network says of itself.
    """
    sources = list(dict.fromkeys(row.source for row in file.rows if row.source))
    published = [
        (PUBLISHED_MARKS[index % len(PUBLISHED_MARKS)], f"Published, not recomputed here: {source}")
        for index, source in enumerate(sources)
    ]
    # A reference counts as usual where no value is more frequent than another.
    order = sorted(range(len(rows)), key=lambda position: position not in file.references)
    runs = [run for position in order for run in of_row[position]]
    deviations = find_deviations(runs, datasets, settings_per_row=file.fill_all is None)
    by_row: dict[int, dict[str, list[Run]]] = {}
    for run, texts in zip(runs, deviations, strict=True):
        for text in texts:
            by_row.setdefault(run.row, {}).setdefault(text, []).append(run)
    any_kept = any(run.is_kept for run in runs)
    all_stale = note_on_stale(runs) != []
    letters: dict[str, str] = {}
    marked = []
    for position, row in enumerate(rows):
        if row.published:
            mark, text = published[sources.index(file.rows[position].source)]
            marked.append(replace(row, marks=(mark,), notes=(text,)))
            continue
        texts = _remarks(of_row[position], any_kept=any_kept, all_stale=all_stale)
        if position in by_row:
            deviations_of_row = (
                _of_seeds(text, some, of_row[position]) for text, some in by_row[position].items()
            )
            texts.append("Made otherwise than its neighbours: " + "; ".join(deviations_of_row))
        marks = [letters.setdefault(text, letter_mark(len(letters))) for text in texts]
        marked.append(replace(row, marks=tuple(marks), notes=tuple(texts)))
    return marked, published + [(letter, text) for text, letter in letters.items()]


def stale_text(run: Run) -> str:
    """Say that code has changed since a run in a way that can change its results, or nothing."""
    changed = changed_since(run)
    if not changed:
        return ""
    more = f" and {len(changed) - _MOST_FILES} more" if len(changed) > _MOST_FILES else ""
    return (
        f"Stale: since commit {known_commit(run)[:7]}, "
        f"{', '.join(changed[:_MOST_FILES])}{more} changed"
    )


def note_on_stale(runs: Sequence[Run]) -> list[str]:
    """Return the note that all runs share, if they do; rows are not marked with it then."""
    texts = {stale_text(run) for run in runs}
    return [
        f"{text}, on which all these runs depend." for text in texts if text and len(texts) == 1
    ]


def _remarks(runs: Sequence[Run], *, any_kept: bool, all_stale: bool) -> list[str]:
    """Return what is to be said of the runs of a row, each once."""
    by_remark: dict[str, list[Run]] = {}
    for run in runs:
        remarks = [f"{remark[:1].upper()}{remark[1:]}" for remark in run.results.remarks]
        if any_kept and not run.is_kept:
            remarks.append("Run here; the others come with the repository")
        if not all_stale and (text := stale_text(run)):
            remarks.append(text)
        for remark in remarks:
            by_remark.setdefault(remark, []).append(run)
    return [_of_seeds(remark, some, runs) for remark, some in by_remark.items()]


def _of_seeds(text: str, some: Sequence[Run], everyone: Sequence[Run]) -> str:
    if len(some) == len(everyone):
        return text
    return f"{text} (seed {', '.join(str(run.planned.seed) for run in some)})"
