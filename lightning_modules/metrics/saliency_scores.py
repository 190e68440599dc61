"""All saliency scores at once, from histograms computed once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.metrics.e_measure import EMeasure, e_measures
from lightning_modules.metrics.f_measure import FMeasure, f_measures, precision_recall
from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.per_image_scores import PerImageScores, dataset_scores
from lightning_modules.metrics.s_measure import SMeasure, s_measures
from lightning_modules.metrics.saliency_metric import SaliencyMetric
from lightning_modules.metrics.weighted_f_measure import WeightedFMeasure, weighted_f_measures


class SaliencyScores(SaliencyMetric):
    """Average all scores over images.

    ``compute`` gives a dict of float64 scalars: ``s_measure``, ``f_max``, ``f_mean``,
    ``f_adaptive``, ``f_weighted``, ``e_max``, ``e_mean``, ``e_adaptive``, ``mae``, in the protocol
    of PySODMetrics 1.6: curves over 256 thresholds are computed per image, averaged over images,
    then the maximum or mean is taken; the other values are averaged over images. The last entry,
    ``f_max_dataset``, is max F in the other convention in use: precision and recall are averaged
    over images first, and F is computed from the averages.

    Merging two metrics (or processes) adds their sums, so the result is that of one pass, bit by
    bit. Cost: one pass over the pixels per image, and a distance transform for ``f_weighted``;
    memory does not grow with the number of images.

    Args:
        weighted: whether to compute ``f_weighted``, which takes longer than all others together.
        kwargs: for ``torchmetrics.Metric``.

    >>> scores = SaliencyScores()
    >>> mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    >>> mask[:, 2:5, 2:6] = True
    >>> scores.update([mask.byte() * 255], [mask])
    >>> round(scores.compute()["s_measure"].item(), 3)
    1.0
    """

    value_shapes = (
        SMeasure.value_shapes
        | FMeasure.value_shapes
        | WeightedFMeasure.value_shapes
        | EMeasure.value_shapes
        | {"mae": (), "precision_curve": (NUM_LEVELS,), "recall_curve": (NUM_LEVELS,)}
    )

    def __init__(self, weighted: bool = True, **kwargs: Any) -> None:
        if not weighted:
            shapes = type(self).value_shapes
            self.value_shapes = {name: shapes[name] for name in shapes if name != "f_weighted"}
        super().__init__(**kwargs)
        self.weighted = weighted
        self._latest: tuple[PairHistograms, dict[str, Tensor]] | None = None

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return the values of all metrics for B pairs."""
        values = per_image_values(histograms, self.weighted)
        self._latest = histograms, values
        return values

    def latest_per_image(self, dataset: str, names: Sequence[str]) -> PerImageScores:
        """Return the scores of each image of the last `update`.

        Args:
            dataset: name of the data set the images are of.
            names: their names, in the order of that update.
        """
        assert self._latest is not None, "expected update() before latest_per_image()"
        return PerImageScores.from_values(dataset, names, *self._latest)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores; RuntimeError if no image was seen."""
        return dataset_scores(self.means())


def mean_absolute_errors(histograms: PairHistograms) -> Tensor:
    """Compute ``mean |p − g|`` of B pairs, p after min–max normalisation and g in {0, 1}.

    Returns:
        Float64 ``(B,)`` in [0, 1]; 0 is best.

    Source: Perazzi et al., "Saliency Filters", CVPR 2012.
    """
    counts = histograms.counts.sum(dim=1)
    errors = torch.stack([histograms.levels, 1 - histograms.levels], dim=1)
    return (counts * errors).sum(dim=(1, 2)) / counts.sum(dim=(1, 2))


def per_image_values(histograms: PairHistograms, weighted: bool = True) -> dict[str, Tensor]:
    """Compute what all scores are averages of, for B pairs: ``(B,)``, curves ``(B, 256)``."""
    f_curves, f_adaptive = f_measures(histograms)
    e_curves, e_adaptive = e_measures(histograms)
    foreground, _ = histograms.foreground_and_background()
    precision, recall = precision_recall(*histograms.true_and_false_positives, foreground)
    values = {
        "s_measure": s_measures(histograms),
        "f_curve": f_curves,
        "f_adaptive": f_adaptive,
        "e_curve": e_curves,
        "e_adaptive": e_adaptive,
        "mae": mean_absolute_errors(histograms),
        "precision_curve": precision,
        "recall_curve": recall,
    }
    if weighted:
        values["f_weighted"] = weighted_f_measures(histograms)
    return values
