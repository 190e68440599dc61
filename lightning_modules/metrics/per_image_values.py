"""What all saliency scores are averages of, from histograms computed once."""

import torch
from torch import Tensor

from lightning_modules.metrics.e_measure import e_measures
from lightning_modules.metrics.f_measure import f_measures, precision_recall
from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.s_measure import s_measures
from lightning_modules.metrics.weighted_f_measure import weighted_f_measures


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
