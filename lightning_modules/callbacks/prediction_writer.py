"""Write predictions as images."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image

from datamodules.files import write_atomically
from lightning_modules.base_module import BaseModule
from lightning_modules.runs.corruption import corruption_of
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError


class PredictionWriter(Callback):
    """Write the module's ``prediction_image`` of every pair in ``predict``, if it has one.

    Files are ``<folder>/<dataset>/<stem>.png``, written whole or not at all; a module's
    ``prediction_overlay`` goes to ``<folder>_overlays/<dataset>/<stem>.png``. Files of an earlier
    run are replaced; two pairs of one run that would share a file are an error. Every process
    writes its own pairs, and none keeps them: ``trainer.predict`` returns None.

    Args:
        output_dir: the folder; by default ``predictions`` in the run's folder
            (``trainer.default_root_dir``), or of corrupted images ``predictions_`` and how.

    Attributes:
        directory: the folder written to; None before ``predict`` starts.
    """

    def __init__(self, output_dir: str | None = None) -> None:
        self.output_dir = output_dir
        self.directory: Path | None = None
        self._written: set[Path] = set()

    def on_predict_start(self, trainer: Trainer, *_: Any) -> None:
        """Choose the folder and tell the loop not to collect predictions."""
        folder = RunFolder(trainer.default_root_dir).predictions
        if corruption := corruption_of(trainer):
            folder = folder.with_name(f"{folder.name}_{corruption.replace(':', '_')}")
        self.directory = Path(self.output_dir or folder)
        self._written.clear()
        trainer.predict_loop.return_predictions = False

    def on_predict_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Write the maps of a batch.

        Raises:
            ValueError: If two pairs share a file, or a name would leave the folder.
        """
        assert self.directory is not None
        samples = zip(batch["name"], batch["dataset"], batch["original_size"], strict=True)
        for index, (name, dataset, (height, width)) in enumerate(samples):
            size = (int(height), int(width))
            image = pl_module.prediction_image(outputs, index, size)
            if image is None:
                continue
            below = Path(_folder_safe(dataset)) / f"{_folder_safe(name)}.png"
            path = self.directory / below
            if path in self._written:
                raise UserError(
                    f"two pairs would be written to {path}; expected each stem once per dataset: "
                    "rename one of them"
                )
            _write(path, image)
            self._written.add(path)
            if overlay := pl_module.prediction_overlay(batch, outputs, index, size):
                folder = self.directory.with_name(f"{self.directory.name}_overlays")
                _write(folder / below, overlay)

    def on_predict_end(self, trainer: Trainer, *_: Any) -> None:
        """Say how many maps were written, over all processes, and where."""
        num_maps = torch.tensor(len(self._written), device=trainer.strategy.root_device)
        num_maps = trainer.strategy.reduce(num_maps, reduce_op="sum")
        rank_zero_info(f"Wrote {int(num_maps)} predictions to {self.directory}")


def _write(path: Path, image: Image.Image) -> None:
    # A quarter of the time of Pillow's default, for files that are a quarter larger.
    write_atomically(path, partial(image.save, format="PNG", compress_level=1), durable=False)


def _folder_safe(name: str) -> str:
    if name in ("", ".", "..") or Path(name).name != name:
        raise UserError(
            f"expected the name of a pair or dataset to be a plain file name, got {name!r}"
        )
    return name
