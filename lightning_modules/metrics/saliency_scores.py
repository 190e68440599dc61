"""All saliency scores at once, as one torchmetric."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.per_image_scores import PerImageScores, dataset_scores
from lightning_modules.metrics.per_image_values import per_image_values
from lightning_modules.metrics.saliency_metric import SaliencyMetric
from lightning_modules.metrics.single_metrics import EMeasure, FMeasure, SMeasure, WeightedFMeasure


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

    >>> import torch
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
