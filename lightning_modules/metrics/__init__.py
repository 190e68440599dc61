"""Saliency scores that equal PySODMetrics 1.6, and the protocol they are computed under."""

from lightning_modules.metrics.e_measure import EMeasure, e_measure
from lightning_modules.metrics.f_measure import FMeasure, f_measure
from lightning_modules.metrics.mean_absolute_error import MeanAbsoluteError, mean_absolute_error
from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.quantise import quantise
from lightning_modules.metrics.s_measure import SMeasure, s_measure
from lightning_modules.metrics.saliency_scores import SaliencyScores

__all__ = [
    "EMeasure",
    "FMeasure",
    "MeanAbsoluteError",
    "PairHistograms",
    "SMeasure",
    "SaliencyScores",
    "e_measure",
    "f_measure",
    "mean_absolute_error",
    "quantise",
    "s_measure",
]
