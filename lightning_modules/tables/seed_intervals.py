"""Intervals over the seeds of the training: how sure a mean is, and a difference of means."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lightning_modules.tables.runs import Run
from lightning_modules.tables.table import Column, Interval, Row

ON_SEED_DIFFERENCES = (
    "Second line of a cell: difference to {reference}, seed by seed, and its 95 % interval "
    "(Student's t) over the seeds that both rows have."
)


def half_width(values: Sequence[float]) -> float | None:
    """Return half of the 95 % interval of the mean, by Student's t; None for fewer than two.

    t s / √n with n − 1 degrees of freedom: exact for normal values, and a rough guide where
    trainings succeed or fail as a whole.

    >>> round(half_width([0.0, 1.0, 2.0, 3.0, 4.0]), 3)  # 2.776 · 1.581 / √5
    1.963
    """
    if len(values) < 2:
        return None
    from scipy.special import stdtrit

    quantile = float(stdtrit(len(values) - 1, 0.975))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def seed_difference(
    own: Mapping[int | None, float], other: Mapping[int | None, float]
) -> Interval | None:
    """Return the mean difference over the seeds that both have, and its 95 % interval.

    Args:
        own: scores by seed.
        other: those of what it is compared with.

    Returns:
        None if they share no seed; no ends if they share one.

    >>> seed_difference({0: 1.5, 1: 2.5, 2: 9.0}, {0: 1.0, 1: 2.0}).difference
    0.5
    """
    differences = [own[seed] - other[seed] for seed in own if seed in other]
    if not differences:
        return None
    mean, half = statistics.fmean(differences), half_width(differences)
    return Interval(mean, *(() if half is None else (mean - half, mean + half)))


def compare_over_seeds(
    rows: Sequence[Row],
    of_row: Sequence[Sequence[Run]],
    columns: Sequence[Column],
    references: Sequence[int],
) -> list[Row]:
    """Give rows their difference to their reference row, paired by seed.

    Args:
        rows: of the table.
        of_row: the runs with results of each.
        columns: data sets and scores.
        references: position of the row that each is compared with.
    """
    compared = list(rows)
    for position, (row, reference) in enumerate(zip(rows, references, strict=True)):
        if position == reference:
            continue
        cells = []
        for cell, (dataset, score) in zip(row.cells, columns, strict=True):
            own, other = (
                _by_seed(runs, dataset, score.name)
                for runs in (of_row[position], of_row[reference])
            )
            cells.append(replace(cell, interval=seed_difference(own, other)))
        compared[position] = replace(row, cells=tuple(cells))
    return compared


def _by_seed(runs: Sequence[Run], dataset: str, metric: str) -> dict[int | None, float]:
    scores = {run.planned.seed: run.score(dataset, metric) for run in runs}
    return {seed: score for seed, score in scores.items() if score is not None}
