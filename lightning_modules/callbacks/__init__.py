"""Callbacks that write predictions, pictures, curves and the results of a run."""

from lightning_modules.callbacks.affinity_maps import AffinityMaps
from lightning_modules.callbacks.contact_sheet import ContactSheet
from lightning_modules.callbacks.learning_curves import LearningCurves
from lightning_modules.callbacks.per_image_scores_writer import PerImageScoresWriter
from lightning_modules.callbacks.prediction_writer import PredictionWriter
from lightning_modules.callbacks.results_writer import ResultsWriter
from lightning_modules.callbacks.run_checkpoint import RunCheckpoint

__all__ = [
    "AffinityMaps",
    "ContactSheet",
    "LearningCurves",
    "PerImageScoresWriter",
    "PredictionWriter",
    "ResultsWriter",
    "RunCheckpoint",
]
