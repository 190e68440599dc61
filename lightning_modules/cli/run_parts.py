"""The callbacks that every run has, and those that have settings under a name of their own."""

from lightning.pytorch import Callback

from lightning_modules.callbacks import (
    AffinityMaps,
    ContactSheet,
    EqualForwardPasses,
    LearningCurves,
    PeerWatch,
    PerImageScoresWriter,
    PredictionWriter,
    ResultsWriter,
    RunCheckpoint,
    StepSeed,
    StopSignals,
)
from lightning_modules.cli.settings_phase import FirstStep

WITH_SETTINGS: dict[str, type[Callback]] = {
    "checkpoint": RunCheckpoint,
    "peers": PeerWatch,
    "predictions": PredictionWriter,
    "contact_sheet": ContactSheet,
    "affinity_maps": AffinityMaps,
}


def callbacks_of_every_run(first_step: FirstStep) -> list[Callback]:
    """Return those without settings, in the order in which they are called."""
    return [
        EqualForwardPasses(),
        StepSeed(),
        StopSignals(),
        LearningCurves(),
        PerImageScoresWriter(),
        first_step,
        # Last: where the results are, the test is complete.
        ResultsWriter(),
    ]
