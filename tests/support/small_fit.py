"""The smallest training by the command line, in this process: three batches in each epoch."""

import json
from pathlib import Path

from lightning.pytorch import Callback, Trainer

from lightning_modules.main import main

CONFIG = Path(__file__).parents[1] / "lightning_modules" / "tiny.yaml"
SMALL = [
    *(f"--config={CONFIG}", "--model.network=own_parts.TwoLayers", "--model.network.width=4"),
    *("--data.num_train=6", "--data.num_val=1", "--data.num_test=1", "--data.image_size=32"),
    "--affinity_maps.num_samples=0",
]


def fit(folder: Path, *options: str) -> int:
    """Run `fit` in a folder; returns its exit code."""
    return main(["fit", *SMALL, f"--trainer.default_root_dir={folder}", *options])


class StopAt(Callback):
    """End the training in good order after a step, as Timer does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step


def callback(name: str, **options: object) -> str:
    """Return the option for one more callback."""
    return f"--trainer.callbacks={json.dumps([{'class_path': name, 'init_args': options}])}"


def stop_at(step: int) -> str:
    """Return the option for an end after a step."""
    return callback("small_fit.StopAt", step=step)
