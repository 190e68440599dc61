"""Paired bootstrap between rows of several seeds. Imports torch."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_modules.evaluation.paired_bootstrap import (
    aligned,
    interval,
    resamples,
    weighted_scores,
)
from lightning_modules.metrics import PerImageScores
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.tables.runs import Run

# Logged scores went through float32.
_TOLERANCE = 1e-5

Key = tuple[str, str]  # data set, score


class RowIntervals:
    """Compare rows, each the mean over its seeds, on the same resampled images.

    The statistic of a row is what the table shows: the mean over its seeds of a data set's score.
    A resample draws images with replacement, the same for all rows and seeds; each seed's score is
    computed anew on it, and the seeds are averaged. Seeds are not resampled, so the interval tells
    of the choice of test images, for these trained networks; the deviation over seeds tells of
    the training.

    Args:
        datasets: as the runs call them.
        metrics: the scores that are compared.
        num_resamples: how often images are drawn.

    Attributes:
        problems: files that are damaged or of another test.
        incomparable: why a run has other images than the rest.
        absent: folders of runs that lack per-image scores or the counts beside them.

    Cost: O(num_resamples · N · 1000) per run and data set, one run in memory at a time.
    """

    def __init__(
        self, datasets: Collection[str], metrics: Collection[str], num_resamples: int
    ) -> None:
        self.problems: list[str] = []
        self.incomparable: list[str] = []
        self.absent: list[Path] = []
        self._datasets = list(datasets)
        self._metrics = set(metrics)
        self._num_resamples = num_resamples
        self._first: dict[str, tuple[Path, PerImageScores]] = {}
        self._resamples: dict[str, list[Tensor]] = {}

    def resampled_row(self, runs: Sequence[Run]) -> dict[Key, Tensor]:
        """Return the mean over these runs of each resampled score, `(num_resamples,)`.

        A score is left out unless all the runs that have it can be resampled.
        """
        of_runs = [self._resampled_run(run) for run in runs]
        means = {}
        for dataset in self._datasets:
            for metric in self._metrics:
                key = (dataset, metric)
                parts = [
                    of_run.get(key)
                    for run, of_run in zip(runs, of_runs, strict=True)
                    if run.score(*key) is not None
                ]
                known = [part for part in parts if part is not None]
                if known and len(known) == len(parts):
                    means[key] = torch.stack(known).mean(dim=0)
        return means

    def _resampled_run(self, run: Run) -> dict[Key, Tensor]:
        path = run.planned.folder / "per_image_scores.csv"
        if not path.is_file():
            self.absent.append(run.planned.folder)
            return {}
        try:
            scores = read_per_image_scores(path)
            datasets = [
                dataset
                for dataset in self._datasets
                if dataset in scores.datasets and dataset in run.results.scores
            ]
            for dataset in datasets:
                self._check(dataset, scores.of_dataset(dataset), run)
        except ValueError as error:
            self.problems.append(str(error))
            return {}
        resampled = {}
        for dataset in datasets:
            of_dataset = scores.of_dataset(dataset)
            folder, first = self._first.get(dataset, (run.planned.folder, of_dataset))
            try:
                _, of_dataset = aligned(dataset, first, of_dataset)
            except ValueError as error:
                self.incomparable.append(f"{error} (A: {folder}, B: {run.planned.folder})")
                continue
            self._first.setdefault(dataset, (folder, first))
            for metric, values in self._resample(dataset, of_dataset).items():
                resampled[dataset, metric] = values
        if any(
            run.score(dataset, metric) is not None and (dataset, metric) not in resampled
            for dataset in datasets
            for metric in self._metrics
        ):
            self.absent.append(run.planned.folder)
        return resampled

    def _check(self, dataset: str, scores: PerImageScores, run: Run) -> None:
        """Refuse per-image scores of another test than the results beside them."""
        everything = torch.full((len(scores),), 1 / len(scores), dtype=torch.float64)
        for metric, value in weighted_scores(scores)(everything).items():
            stated = run.score(dataset, metric)
            if stated is not None and abs(stated - value.item()) > _TOLERANCE:
                raise ValueError(
                    f"{run.planned.folder}: per_image_scores.csv averages to {metric} "
                    f"{value.item():.5f} of {dataset}, results.json says {stated:.5f}: they are of "
                    "two tests; run mutualformer test again"
                )

    def _resample(self, dataset: str, scores: PerImageScores) -> dict[str, Tensor]:
        if dataset not in self._resamples:
            self._resamples[dataset] = list(resamples(self._num_resamples, len(scores)))
        of_shares = weighted_scores(scores)
        parts = [of_shares(shares) for shares in self._resamples[dataset]]
        return {
            metric: torch.cat([part[metric] for part in parts])
            for metric in parts[0]
            if metric in self._metrics
        }


def difference_intervals(
    row: Mapping[Key, Tensor], reference: Mapping[Key, Tensor]
) -> dict[Key, tuple[float, float]]:
    """Return the 95 % interval of row minus reference for what both have."""
    return {key: interval(row[key] - reference[key]) for key in row if key in reference}
