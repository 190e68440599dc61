"""Saliency scores that equal PySODMetrics 1.6, and the protocol they are computed under."""

from lightning_modules.metrics.e_measure import EMeasure, e_measure
from lightning_modules.metrics.f_measure import FMeasure, f_measure
from lightning_modules.metrics.mean_absolute_error import MeanAbsoluteError, mean_absolute_error
from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.per_image_scores import PerImageScores
from lightning_modules.metrics.precision_recall import PrecisionRecall, precision_recall_curves
from lightning_modules.metrics.protocol import PROTOCOL
from lightning_modules.metrics.quantise import quantise
from lightning_modules.metrics.s_measure import SMeasure, s_measure
from lightning_modules.metrics.saliency_scores import SaliencyScores
from lightning_modules.metrics.weighted_f_measure import WeightedFMeasure, weighted_f_measure

__all__ = [
    "EMeasure",
    "FMeasure",
    "MeanAbsoluteError",
    "PROTOCOL",
    "PairHistograms",
    "PerImageScores",
    "PrecisionRecall",
    "SMeasure",
    "SaliencyScores",
    "WeightedFMeasure",
    "e_measure",
    "f_measure",
    "mean_absolute_error",
    "precision_recall_curves",
    "quantise",
    "s_measure",
    "weighted_f_measure",
]
