"""Write the scores of a test run together with where they came from."""

import hashlib
import json
import math
import os
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamodules.files import write_atomically
from lightning_modules.metrics import PROTOCOL
from lightning_modules.runs.provenance import describe_environment
from lightning_modules.tracking import send_file

_TABLE_COLUMNS = {"s_measure": "S", "f_max": "max F", "e_max": "max E", "mae": "MAE"}


class ResultsWriter(Callback):
    """Write ``results.json`` at the end of ``test`` and print its scores as a table.

    The scores are the logged ``test/<dataset>/<metric>`` of the run; the file lies in the run's
    folder (``trainer.default_root_dir``), is written by the first process, and replaces an
    earlier one. A score that is not finite becomes null. ``git`` describes the working tree this
    package lies in, and is null where there is none. ``data_digest`` changes with the names and the
    masks of a data set, in whatever order they come, so that scores on other data can be told.

    Attributes:
        path: the file; None until it is written.
        config: the resolved configuration, to be written along; whoever has one sets it.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.config: dict[str, Any] | None = None
        self._num_images: Counter[str] = Counter()
        self._digests: Counter[str] = Counter()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the images counted in an earlier run."""
        self._num_images.clear()
        self._digests.clear()

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count and digest the images of each dataset."""
        self._num_images.update(batch["dataset"])
        for dataset, name, mask in zip(
            batch["dataset"], batch["name"], batch["ground_truth"], strict=True
        ):
            self._digests[dataset] += _digest(name, mask)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file and print the table."""
        scores = _scores(trainer)
        # Scores are reduced over processes, so every process has the same datasets here.
        num_images = {name: _total(trainer, self._num_images[name]) for name in scores}
        digests = {name: _total(trainer, self._digests[name]) for name in scores}
        if not trainer.is_global_zero:
            return
        results = {
            "scores": scores,
            "num_images": num_images,
            "data_digest": {name: f"{digest:x}" for name, digest in digests.items()},
            "protocol": PROTOCOL,
            "seed": _seed(),
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            "config": self.config,
            **describe_environment(trainer.strategy.root_device, trainer.world_size),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self.path = Path(trainer.default_root_dir) / "results.json"
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        write_atomically(self.path, lambda file: file.write(text.encode()))
        send_file(trainer, self.path)
        console = Console()
        if scores:
            console.print(_table(scores, num_images))
        console.print(f"Results: {self.path}", soft_wrap=True, highlight=False, markup=False)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Show scores that are complete but cannot be written, as on a full disk."""
        scores = _scores(trainer)
        if trainer.testing and trainer.world_size == 1 and scores:
            Console().print(_table(scores, self._num_images))


def _scores(trainer: Trainer) -> dict[str, dict[str, float | None]]:
    scores: dict[str, dict[str, float | None]] = {}
    for key, value in trainer.callback_metrics.items():
        stage, _, rest = key.partition("/")
        dataset, _, metric = rest.rpartition("/")
        if stage == "test" and dataset:
            number = float(value)
            scores.setdefault(dataset, {})[metric] = number if math.isfinite(number) else None
    return scores


def _total(trainer: Trainer, count: int) -> int:
    tensor = torch.tensor(count, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(tensor, reduce_op="sum"))


def _digest(name: str, mask: torch.Tensor) -> int:
    content = name.encode() + str(tuple(mask.shape)).encode() + mask.cpu().numpy().tobytes()
    # Sums of 40 bits: the order does not matter, and 10^6 images fit into an int64.
    return int.from_bytes(hashlib.sha256(content).digest()[:5], "big")


def _table(scores: dict[str, dict[str, float | None]], num_images: dict[str, int]) -> Table:
    table = Table(title="Scores")
    table.add_column("Dataset")
    for heading in ("Images", *_TABLE_COLUMNS.values()):
        table.add_column(heading, justify="right")
    for dataset, values in scores.items():
        cells = [values.get(metric) for metric in _TABLE_COLUMNS]
        table.add_row(
            Text(dataset),  # brackets in a name are no markup
            str(num_images[dataset]),
            *("–" if cell is None else f"{cell:.3f}" for cell in cells),
        )
    return table


def _seed() -> int | None:
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed else None
