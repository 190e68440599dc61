"""Keep the scores of every image of a test run."""

from math import isnan
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.metrics.image_records import ImageRecords
from lightning_modules.metrics.per_image_files import write_per_image_scores
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import send_table


class PerImageScoresWriter(Callback):
    """Write ``per_image_scores.csv`` and ``per_image_scores.npz`` at the end of ``test``.

    They lie in the run's folder (``trainer.default_root_dir``), replace earlier ones, and are what
    ``mutualformer compare`` reads. Every process contributes the images that it scored; the first
    one writes them, sorted by data set and name, each image once. A module whose ``test_step``
    returns no ``per_image`` scores leaves no file.

    Attributes:
        path: the table; None until it is written.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._parts: list[ImageRecords] = []

    def on_test_start(self, trainer: Trainer, *_: Any) -> None:
        """Forget the images of an earlier run."""
        self._parts.clear()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the scores of a batch."""
        if "per_image" in outputs:
            self._parts.append(outputs["per_image"])

    def on_test_end(self, trainer: Trainer, *_: Any) -> None:
        """Collect the images of all processes and write the files."""
        parts = self._parts
        if trainer.world_size > 1:
            of_process: list[list[ImageRecords]] = [[] for _ in range(trainer.world_size)]
            torch.distributed.all_gather_object(of_process, parts)
            parts = [part for process in of_process for part in process]
        self._parts = []
        if not parts or not trainer.is_global_zero:
            return
        scores = parts[0].concatenate(parts)
        # A sampler that pads the last batch gives some images to two processes.
        keys = zip(scores.datasets, scores.names, strict=True)
        positions = {key: position for position, key in enumerate(keys)}
        self.path = RunFolder(trainer.default_root_dir).per_image_scores
        ordered = scores.select([positions[key] for key in sorted(positions)])
        write_per_image_scores(self.path, ordered)
        shown = ordered.values or ordered.image_scores()
        names = list(shown)
        # An undefined score is an empty cell there, too.
        columns = [[None if isnan(x) else x for x in shown[name].tolist()] for name in names]
        rows = [list(row) for row in zip(ordered.datasets, ordered.names, *columns, strict=True)]
        send_table(trainer, "per_image_scores", ["dataset", "image", *names], rows)
