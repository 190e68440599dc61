"""How a training begins: from a checkpoint, from weights, or at an end that it has reached."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lightning_modules.base_module import BaseModule
from lightning_modules.callbacks import RunCheckpoint
from lightning_modules.runs.completion import why_complete
from lightning_modules.runs.run_folder import RunFolder


def check_beginning(
    trainer: Trainer,
    model: BaseModule,
    path: str | None,
    checkpoint: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
) -> str | None:
    """Refuse what cannot be trained before anything is written, and load the initial weights.

    Args:
        trainer: of the training.
        model: likewise.
        path: of the checkpoint to continue from; None for a new training.
        checkpoint: its content; None if there is none, or it is sharded.
        settings: resolved configuration of `fit`.

    Returns:
        By what the run in the folder has ended already; None if there is something left to do.

    Raises:
        UserError: a setting of the training cannot be used, or not with this checkpoint.
    """
    ended = None
    if path and checkpoint is not None:
        run = RunFolder(trainer.default_root_dir)
        ended = why_complete(Path(path), checkpoint, run, settings)
    has_end = {trainer.max_epochs, trainer.max_steps} != {-1}
    model.check_optimization(has_end, checkpoint)
    if not path:
        model.load_initial_weights()
    return ended


def mark_beginning(trainer: Trainer, ended: str | None) -> None:
    """Forget how the run ended before; or, if it has ended, say so and let nothing be trained.

    The trainer then only takes up the state, which the test after it logs by.
    """
    run = RunFolder(trainer.default_root_dir)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, RunCheckpoint):
            callback.has_ended = ended is not None
    if not trainer.is_global_zero:
        return
    if ended is None:
        run.ending.unlink(missing_ok=True)
    else:
        print(f"Training in {run.path} ended: {ended}", file=sys.stderr)
