"""Mean absolute error between a saliency map and its mask."""

import torch
from torch import Tensor

from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.saliency_metric import SaliencyMetric


def mean_absolute_error(prediction: Tensor, ground_truth: Tensor) -> Tensor:
    """Compute the mean absolute error of one pair.

    ``mean |p − g|``, with p the prediction after min–max normalisation and g in {0, 1}.

    Args:
        prediction: uint8 ``(1, H, W)`` or ``(H, W)``.
        ground_truth: bool, same shape.

    Returns:
        Float64 scalar in [0, 1]; 0 is best.

    Raises:
        ValueError: If the shapes differ.
        TypeError: If a type is not as above.

    Source: Perazzi et al., "Saliency Filters", CVPR 2012.

    >>> prediction = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    >>> round(mean_absolute_error(prediction, torch.tensor([[False, False, True]])).item(), 4)
    0.0667
    """
    return mean_absolute_errors(PairHistograms.from_pairs([prediction], [ground_truth]))[0]


def mean_absolute_errors(histograms: PairHistograms) -> Tensor:
    """Compute the mean absolute error of B pairs: ``(B,)`` float64."""
    counts = histograms.counts.sum(dim=1)
    errors = torch.stack([histograms.levels, 1 - histograms.levels], dim=1)
    return (counts * errors).sum(dim=(1, 2)) / counts.sum(dim=(1, 2))


class MeanAbsoluteError(SaliencyMetric):
    """Average ``mean_absolute_error`` over images; ``compute`` gives a scalar.

    >>> metric = MeanAbsoluteError()
    >>> metric.update([torch.tensor([[0, 255]]).byte()], [torch.tensor([[False, True]])])
    >>> metric.compute().item()
    0.0
    """

    higher_is_better = False
    value_shapes = {"mae": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``mae`` ``(B,)``."""
        return {"mae": mean_absolute_errors(histograms)}

    def compute(self) -> Tensor:
        """Return the mean over images; RuntimeError if none was seen."""
        return self.means()["mae"]
