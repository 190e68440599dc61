"""Paired bootstrap between rows of several seeds."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lightning_modules.evaluation.paired_bootstrap import (
    aligned,
    interval,
    resamples,
)
from lightning_modules.metrics.image_records import ImageRecords
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tables.runs import Run
from mutualformer.errors import UserError

# Scores that went through float32, as on MPS and in files of former versions, differ by less.
_TOLERANCE = 1e-6

Key = tuple[str, str]  # data set, score


class _OtherImages(ValueError):
    """A run was scored on other images than the ones before it."""


class RowIntervals:
    """Compare rows, each the mean over its seeds, on the same resampled images.

    The statistic of a row is what the table shows: the mean over its seeds of a data set's score.
    A resample draws images with replacement, the same for all rows and seeds; each seed's score is
    computed anew on it, and the seeds are averaged. Seeds are not resampled, so the interval tells
    of the choice of test images, for these trained networks; the deviation over seeds tells of
    the training.

    Args:
        columns: data set and score of what is compared.
        num_resamples: how often images are drawn.

    Attributes:
        problems: files that are damaged or of another test.
        incomparable: why a run has other images than the rest.
        absent: folders of runs that lack per-image scores or the counts beside them.

    Cost: O(num_resamples · N · 1000) per run and data set, one run in memory at a time.
    """

    def __init__(self, columns: Collection[Key], num_resamples: int) -> None:
        self.problems: list[str] = []
        self.incomparable: list[str] = []
        self.absent: list[Path] = []
        self._columns = list(columns)
        self._num_resamples = num_resamples
        self._first: dict[str, tuple[Path, ImageRecords]] = {}
        self._resamples: dict[str, list[Tensor]] = {}

    @property
    def num_images(self) -> dict[str, int]:
        """How many images were resampled, by data set."""
        return {dataset: len(scores) for dataset, (_, scores) in self._first.items()}

    def resampled_row(self, runs: Sequence[Run]) -> dict[Key, Tensor]:
        """Return the mean over these runs of each resampled score, `(num_resamples,)`.

        A score is left out unless all the runs that have it can be resampled.
        """
        of_runs = [self._resampled_run(run) for run in runs]
        means = {}
        for key in self._columns:
            having = [pair for pair in zip(runs, of_runs, strict=True) if _has(pair[0], key)]
            known = [of_run[key] for _, of_run in having if key in of_run]
            if known and len(known) == len(having):
                means[key] = torch.stack(known).mean(dim=0)
        return means

    def _resampled_run(self, run: Run) -> dict[Key, Tensor]:
        folder = run.planned.folder
        path = RunFolder(folder).per_image_scores
        if not path.is_file():
            self.absent.append(folder)
            return {}
        try:
            scores = read_per_image_scores(path)
        except ValueError as error:
            self.problems.append(str(error))
            return {}
        resampled: dict[Key, Tensor] = {}
        for dataset in dict.fromkeys(dataset for dataset, _ in self._columns):
            if dataset not in scores.datasets or dataset not in run.results.scores:
                continue
            try:
                of_dataset = self._resampled_dataset(dataset, scores.of_dataset(dataset), run)
            except _OtherImages as error:
                self.incomparable.append(str(error))
            except ValueError as error:
                self.problems.append(str(error))
            else:
                resampled |= {(dataset, metric): x for metric, x in of_dataset.items()}
                if any(
                    _has(run, key) and key[0] == dataset and key not in resampled
                    for key in self._columns
                ):
                    self.absent.append(folder)
        return resampled

    def _resampled_dataset(self, dataset: str, scores: ImageRecords, run: Run) -> dict[str, Tensor]:
        folder, first = self._first.get(dataset, (run.planned.folder, scores))
        try:
            _, scores = aligned(dataset, first, scores)
        except ValueError as error:
            raise _OtherImages(f"{error} (A: {folder}, B: {run.planned.folder})") from error
        of_shares = scores.weighted_scores()
        everything = torch.full((len(scores),), 1 / len(scores), dtype=torch.float64)
        for metric, value in of_shares(everything).items():
            stated = run.score(dataset, metric)
            if stated is not None and abs(stated - value.item()) > _TOLERANCE:
                raise UserError(
                    f"{run.planned.folder}: per_image_scores.csv averages to {metric} "
                    f"{value.item():.5f} of {dataset}, results.json says {stated:.5f}: they are of "
                    "two tests; run mutualformer test again"
                )
        self._first.setdefault(dataset, (folder, first))
        if dataset not in self._resamples:
            self._resamples[dataset] = list(resamples(self._num_resamples, len(scores)))
        parts = [of_shares(shares) for shares in self._resamples[dataset]]
        return {
            metric: torch.cat([part[metric] for part in parts])
            for metric in parts[0]
            if (dataset, metric) in self._columns
        }


def difference_intervals(
    row: Mapping[Key, Tensor], reference: Mapping[Key, Tensor]
) -> dict[Key, tuple[float, float]]:
    """Return the 95 % interval of row minus reference for what both have."""
    return {key: interval(row[key] - reference[key]) for key in row if key in reference}


def _has(run: Run, key: Key) -> bool:
    return run.score(*key) is not None
