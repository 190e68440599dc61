"""Callbacks that write what a run leaves behind, and one that keeps its processes in step."""

from lightning_modules.callbacks.affinity_maps import AffinityMaps
from lightning_modules.callbacks.contact_sheet import ContactSheet
from lightning_modules.callbacks.equal_forward_passes import EqualForwardPasses
from lightning_modules.callbacks.learning_curves import LearningCurves
from lightning_modules.callbacks.peer_watch import PeerWatch
from lightning_modules.callbacks.per_image_scores_writer import PerImageScoresWriter
from lightning_modules.callbacks.prediction_writer import PredictionWriter
from lightning_modules.callbacks.results_writer import ResultsWriter
from lightning_modules.callbacks.run_checkpoint import RunCheckpoint
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.stop_signals import StopSignals, requeue_if_asked, was_stopped

__all__ = [
    "AffinityMaps",
    "ContactSheet",
    "EqualForwardPasses",
    "LearningCurves",
    "PeerWatch",
    "PerImageScoresWriter",
    "PredictionWriter",
    "ResultsWriter",
    "RunCheckpoint",
    "StepSeed",
    "StopSignals",
    "requeue_if_asked",
    "was_stopped",
]
