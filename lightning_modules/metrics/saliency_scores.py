"""All saliency scores at once, from histograms computed once."""

from torch import Tensor

from lightning_modules.metrics.e_measure import EMeasure, e_measures
from lightning_modules.metrics.f_measure import FMeasure, f_measures
from lightning_modules.metrics.mean_absolute_error import MeanAbsoluteError, mean_absolute_errors
from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.s_measure import SMeasure, s_measures
from lightning_modules.metrics.saliency_metric import SaliencyMetric, curve_scores


class SaliencyScores(SaliencyMetric):
    """Average S-measure, F-measure, E-measure and MAE over images.

    ``compute`` gives a dict of float64 scalars: ``s_measure``, ``f_max``, ``f_mean``,
    ``f_adaptive``, ``e_max``, ``e_mean``, ``e_adaptive``, ``mae``. The protocol is that of
    PySODMetrics 1.6: curves over 256 thresholds are computed per image, averaged over images,
    then the maximum or mean is taken; adaptive values are averaged over images.

    Merging two metrics (or processes) adds their sums, so the result is that of one pass.
    Cost: one pass over the pixels per image; memory does not grow with the number of images.

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
        | EMeasure.value_shapes
        | MeanAbsoluteError.value_shapes
    )

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return the values of the four metrics for B pairs."""
        f_curves, f_adaptive = f_measures(histograms)
        e_curves, e_adaptive = e_measures(histograms)
        return {
            "s_measure": s_measures(histograms),
            "f_curve": f_curves,
            "f_adaptive": f_adaptive,
            "e_curve": e_curves,
            "e_adaptive": e_adaptive,
            "mae": mean_absolute_errors(histograms),
        }

    def compute(self) -> dict[str, Tensor]:
        """Return the eight scores; RuntimeError if no image was seen."""
        means = self.means()
        return {
            "s_measure": means["s_measure"],
            **curve_scores("f", means),
            **curve_scores("e", means),
            "mae": means["mae"],
        }
