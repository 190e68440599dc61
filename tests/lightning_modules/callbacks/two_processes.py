"""Run by test_two_processes.py: test and predict with the callbacks, on two processes."""

import sys

import torch
from lightning.pytorch import Trainer

from lightning_modules.callbacks import (
    ContactSheet,
    PerImageScoresWriter,
    PredictionWriter,
    ResultsWriter,
)

if __name__ == "__main__":
    # Importable only from this folder, where a script finds its neighbours and pytest does not.
    from conftest import BrightnessModule, make_loader

    torch.set_num_threads(1)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=sys.argv[1],
        callbacks=[ContactSheet(), PredictionWriter(), ResultsWriter(), PerImageScoresWriter()],
    )
    trainer.test(BrightnessModule(), make_loader("A", 8), verbose=False)
    trainer.predict(BrightnessModule(), make_loader("A", 5, has_mask=False))
