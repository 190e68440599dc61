"""Parts of Lightning that are not public, in one place, each with why there is no other way.

Checked with Lightning 2.6; a later version may move them.
"""

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger


def gradients_wait_for_more(trainer: Trainer) -> bool:
    """Tell whether the last batch was accumulated only; no public state says so."""
    return trainer.fit_loop._should_accumulate()


def epoch_was_cut(trainer: Trainer) -> bool:
    """Tell whether batches of the epoch are left; the loop says so, in no documented place."""
    return not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def ends_within_epoch(trainer: Trainer) -> bool:
    """Tell whether this batch is the last one of the training, but not of its epoch."""
    stops = trainer.should_stop and trainer.fit_loop._can_stop_early
    return epoch_was_cut(trainer) and (stops or trainer.global_step == trainer.max_steps)


def position(trainer: Trainer) -> tuple[int, int]:
    """Return how many epochs are behind a training, and batches of the next one.

    `current_epoch` counts differently where training is limited by steps.
    """
    epochs: Any = trainer.fit_loop.epoch_progress.current
    batches = trainer.fit_loop.epoch_loop.batch_progress.current
    return epochs.processed, batches.ready if epochs.started > epochs.processed else 0


def stop_after_this_step(trainer: Trainer) -> None:
    """End the fit as after SIGTERM; `should_stop` would finish the epoch and call it complete."""
    trainer._signal_connector.received_sigterm = True


def saves_after_training(callback: ModelCheckpoint, trainer: Trainer) -> bool:
    """Tell whether checkpoints follow the training epoch, for want of a validation."""
    return callback._should_save_on_train_epoch_end(trainer)


def save_last_if_not_yet(callback: ModelCheckpoint, trainer: Trainer) -> None:
    """Write the last checkpoint; Lightning does so only when the best one changes."""
    if not callback._should_skip_saving_checkpoint(trainer):
        callback._save_last_checkpoint(trainer, callback._monitor_candidates(trainer))


def forget_validation(trainer: Trainer) -> None:
    """Say that a validation has begun and nothing of it is done, so that it is repeated whole."""
    progress = trainer.fit_loop.epoch_loop.val_loop.batch_progress
    progress.total.reset()
    progress.current.reset()
    progress.increment_ready()
    progress.increment_started()


def forget_repeated_validation(trainer: Trainer) -> None:
    """Count a validation that was given up, and is repeated now, as none."""
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()


def wandb_options(logger: WandbLogger) -> dict[str, Any]:
    """Return what the logger will hand to `wandb.init`; its constructor takes no late changes."""
    return logger._wandb_init


def set_wandb_folder(logger: WandbLogger, folder: str) -> None:
    """Settle where the logger saves, which is known only after it was built."""
    logger._save_dir = folder


def wandb_run(logger: WandbLogger) -> Any:
    """Return the W&B run if it has begun, else None; the public property would begin it."""
    return logger._experiment


def forget_wandb_run(logger: WandbLogger) -> None:
    """Let the logger begin its run again when it is next needed, after the run was finished."""
    logger._experiment = None
