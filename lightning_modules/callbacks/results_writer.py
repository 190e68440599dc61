"""Write the scores of a test run together with where they came from."""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datamodules.files import write_atomically
from lightning_modules.base_module import BaseModule
from lightning_modules.callbacks.run_checkpoint import held_out_score
from lightning_modules.runs.corruption import check_results, corruption_of, remarks_of
from lightning_modules.runs.provenance import describe_environment
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import Score
from lightning_modules.tracking import send_file


class ResultsWriter(Callback):
    """Write ``results.json`` at the end of ``test`` and print its scores as a table.

    The scores are the module's ``latest_scores``, with its descriptions of them. The file lies in
    the run's folder (``trainer.default_root_dir``), is written by the first process, and replaces
    an earlier one. A score that is not finite becomes null. ``git`` describes the working tree that
    this package lies in, and is null where there is none. ``data_digest`` changes with the names
    and the targets of a data set, in whatever order they come, so that scores on other data can be
    told. ``validation`` is the score on held-out training data that the tested checkpoint was kept
    for, by which another setting of the training may be chosen. ``corruption`` is that of the test
    images, of which the remarks tell too, so that no table takes such scores for others.

    Attributes:
        path: the file; None until it is written.
        config: the resolved configuration, to be written along; whoever has one sets it.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.config: dict[str, Any] | None = None
        self._num_images: Counter[str] = Counter()
        self._digests: Counter[str] = Counter()
        self._validation: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse to replace results of other images; see :func:`.check_results`."""
        if stage == "test":
            check_results(RunFolder(trainer.default_root_dir), corruption_of(trainer))

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note what the checkpoint to be tested was chosen by."""
        self._validation = held_out_score(checkpoint, trainer.ckpt_path or "")

    def on_test_start(self, trainer: Trainer, *_: Any) -> None:
        """Forget the images counted in an earlier run."""
        self._num_images.clear()
        self._digests.clear()

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Count and digest the images of each dataset."""
        self._num_images.update(batch["dataset"])
        for dataset, name, target in zip(
            batch["dataset"], batch["name"], pl_module.targets(batch), strict=True
        ):
            self._digests[dataset] += _digest(name, target)

    def on_test_end(self, trainer: Trainer, pl_module: BaseModule) -> None:  # type: ignore[override]
        """Write the file and print the table."""
        scores = pl_module.latest_scores
        # Scores are reduced over processes, so every process has the same datasets here.
        num_images = {name: _total(trainer, self._num_images[name]) for name in scores}
        digests = {name: _total(trainer, self._digests[name]) for name in scores}
        if not trainer.is_global_zero:
            return
        corruption = corruption_of(trainer)
        results = {
            "scores": {
                dataset: {name: x if math.isfinite(x) else None for name, x in values.items()}
                for dataset, values in scores.items()
            },
            "score_descriptions": [asdict(score) for score in pl_module.scores],
            "num_images": num_images,
            "data_digest": {name: f"{digest:x}" for name, digest in digests.items()},
            "protocol": pl_module.protocol,
            "remarks": remarks_of(pl_module.network, corruption),
            "corruption": corruption,
            "seed": _seed(),
            "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,
            "validation": self._validation if trainer.ckpt_path else {},
            "config": self.config,
            **describe_environment(trainer.strategy.root_device, trainer.world_size),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self.path = RunFolder(trainer.default_root_dir).results
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        write_atomically(self.path, text.encode())
        send_file(trainer, self.path)
        console = Console()
        if scores:
            console.print(_table(pl_module.scores, scores, num_images, corruption))
        console.print(f"Results: {self.path}", soft_wrap=True, highlight=False, markup=False)

    def on_exception(
        self,
        trainer: Trainer,
        pl_module: BaseModule,  # type: ignore[override]
        exception: BaseException,
    ) -> None:
        """Show scores that are complete but cannot be written, as on a full disk."""
        scores = pl_module.latest_scores
        if trainer.testing and trainer.world_size == 1 and scores:
            table = _table(pl_module.scores, scores, self._num_images, corruption_of(trainer))
            Console().print(table)


def _total(trainer: Trainer, count: int) -> int:
    tensor = torch.tensor(count, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(tensor, reduce_op="sum"))


def _digest(name: str, target: torch.Tensor) -> int:
    content = name.encode() + str(tuple(target.shape)).encode() + target.cpu().numpy().tobytes()
    # Sums of 40 bits: the order does not matter, and 10^6 images fit into an int64.
    return int.from_bytes(hashlib.sha256(content).digest()[:5], "big")


def _table(
    descriptions: Sequence[Score],
    scores: Mapping[str, Mapping[str, float]],
    num_images: Mapping[str, int],
    corruption: str | None = None,
) -> Table:
    table = Table(title=f"Scores, {corruption}" if corruption else "Scores")
    table.add_column("Dataset")
    shown = [score for score in descriptions if score.main]
    for heading in ("Images", *(score.heading for score in shown)):
        table.add_column(heading, justify="right")
    for dataset, values in scores.items():
        cells = [values.get(score.name, math.nan) for score in shown]
        table.add_row(
            Text(dataset),  # brackets in a name are no markup
            str(num_images[dataset]),
            *(f"{cell:.3f}" if math.isfinite(cell) else "–" for cell in cells),
        )
    return table


def _seed() -> int | None:
    seed = os.environ.get("PL_GLOBAL_SEED")
    return int(seed) if seed else None
