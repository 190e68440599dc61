"""Paired bootstrap over images: does B score differently from A?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_modules.metrics.image_records import ImageRecords
from mutualformer.errors import UserError

# The same resamples every time: a comparison is a fact about its inputs.
SEED = 0
CONFIDENCE = 0.95
# Resamples that are averaged in one matrix product; bounds the memory.
_CHUNK = 500


@dataclass(frozen=True)
class Difference:
    """How one score of one data set differs.

    Attributes:
        a: score of A.
        b: score of B.
        low: lower end of the 95 % interval of b − a.
        high: upper end.
        better: ``"a"`` or ``"b"`` if the interval leaves out zero, else None.
    """

    a: float
    b: float
    low: float
    high: float
    better: str | None


def compare_scores(
    a: ImageRecords, b: ImageRecords, num_resamples: int
) -> dict[str, dict[str, Difference]]:
    """Compare two methods on the data sets that both were scored on.

    The statistic is the score of the data set itself. A resample draws N of its N images with
    replacement, the same for A and B; of saliency, per-image values *and curves* are averaged over
    the draw, and only then maximum and mean over thresholds are taken, so that max F and max E are
    resampled with their thresholds; of segmentation, the images' confusion matrices are summed over
    the draw. The interval is that between the 2.5 % and 97.5 % quantiles of B − A.

    Args:
        a: scores of the first method.
        b: scores of the second one, of the same images.
        num_resamples: how often to draw.

    Returns:
        By data set, then by score, as in a table. Scores that need curves are left out if `a` or
        `b` has no counts.

    Raises:
        ValueError: no data set is in both; or one is, with other images, other ground truths or
            with a single image.

    Cost: O(num_resamples · N · 2000) per data set, in matrix products.

    Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 16.
    """
    if type(a) is not type(b) or a.classes != b.classes:
        raise UserError(
            f"A is scored by {_describe(a)}, B by {_describe(b)}, expected scores of one task and "
            "the same classes: score both alike"
        )
    datasets = [dataset for dataset in dict.fromkeys(a.datasets) if dataset in set(b.datasets)]
    if not datasets:
        raise UserError(
            f"no data set in common: A has {', '.join(dict.fromkeys(a.datasets))}, B has "
            f"{', '.join(dict.fromkeys(b.datasets))}, expected scores of the same images: score "
            "both on what both have"
        )
    return {
        dataset: _compare_dataset(
            *aligned(dataset, a.of_dataset(dataset), b.of_dataset(dataset)), num_resamples
        )
        for dataset in datasets
    }


def _describe(records: ImageRecords) -> str:
    classes = f" of {len(records.classes)} classes" if records.classes else ""
    return f"{records.protocol_name}{classes}"


def aligned(dataset: str, a: ImageRecords, b: ImageRecords) -> tuple[ImageRecords, ImageRecords]:
    """Put the images of B into the order of A.

    Raises:
        ValueError: they are not the same images, have other ground truths, or are a single one.
    """
    alone = sorted(set(a.names) ^ set(b.names))
    if alone:
        where = "A" if alone[0] in a.names else "B"
        raise UserError(
            f"{dataset}: {len(alone)} image(s) are scored in only one of A and B ({alone[0]} in "
            f"{where}), expected the same images: score both on what both have"
        )
    if len(a) < 2:
        raise UserError(f"{dataset}: one image, expected 2 or more: it tells nothing of others")
    positions = {name: position for position, name in enumerate(b.names)}
    b = b.select([positions[name] for name in a.names])
    if a.counts and b.counts:
        differs = torch.zeros(len(a), dtype=torch.bool)
        for name in a.truth_counts:
            differs |= (a.counts[name] != b.counts[name]).any(1)
        if differs.any():
            first = a.names[int(differs.nonzero()[0])]
            raise UserError(
                f"{dataset}: {int(differs.sum())} image(s) have another ground truth in A than in "
                f"B ({first}), expected the same ones: score both anew"
            )
    return a, b


def _compare_dataset(a: ImageRecords, b: ImageRecords, num_resamples: int) -> dict[str, Difference]:
    scores_of_a, scores_of_b = a.weighted_scores(), b.weighted_scores()
    everything = torch.full((len(a),), 1 / len(a), dtype=torch.float64)
    score_a, score_b = scores_of_a(everything), scores_of_b(everything)
    # The IoU of a class that is nowhere is undefined.
    resampled: dict[str, list[Tensor]] = {
        name: []
        for name in score_a
        if name in score_b and score_a[name].isfinite() and score_b[name].isfinite()
    }
    for weights in resamples(num_resamples, len(a)):
        of_a, of_b = scores_of_a(weights), scores_of_b(weights)
        for name, chunks in resampled.items():
            chunks.append(of_b[name] - of_a[name])
    lower_is_better = {score.name for score in a.descriptions if not score.higher_is_better}
    differences = {}
    for name, chunks in resampled.items():
        low, high = interval(torch.cat(chunks))
        better = None
        if low > 0 or high < 0:
            better = "b" if (low > 0) != (name in lower_is_better) else "a"
        differences[name] = Difference(
            score_a[name].item(), score_b[name].item(), low, high, better
        )
    return differences


def resamples(num_resamples: int, num_images: int) -> Iterator[Tensor]:
    """Draw images with replacement, the same every time.

    Yields:
        The images' shares in some of the resamples, `(at most 500, num_images)`.
    """
    generator = np.random.default_rng(SEED)
    for start in range(0, num_resamples, _CHUNK):
        rows = min(_CHUNK, num_resamples - start)
        drawn = generator.integers(num_images, size=(rows, num_images))
        drawn += np.arange(rows)[:, None] * num_images
        counts = np.bincount(drawn.ravel(), minlength=rows * num_images)
        yield torch.from_numpy(counts / num_images).view(rows, num_images)


def interval(differences: Tensor) -> tuple[float, float]:
    """Return the ends of the 95 % percentile interval of resampled differences `(N,)`."""
    tails = torch.tensor([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], dtype=torch.float64)
    low, high = differences.nanquantile(tails).tolist()  # a class may be in no image of some
    return low, high
