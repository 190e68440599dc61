"""What Lightning takes without a word as settings of the trainer, and what a run does not bear."""

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.plugins.environments import LightningEnvironment

from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import WandbRunLogger
from mutualformer.errors import UserError

_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
}
_NO_TRAINING = ("limit_train_batches", "max_epochs", "max_steps")
_UNFIT_CALLBACKS = {
    BatchSizeFinder: "the run would have another batch size than its config.yaml says, and another "
    "order of batches when it is continued: give --data.batch_size",
    LearningRateFinder: "it sets an attribute of the module, which no optimiser reads: give "
    "--model.optimizer.lr, and compare some in a sweep",
    ModelPruning: "no checkpoint holds what it has pruned so far, so that a continued run prunes "
    "anew: prune the network of an exported folder with torch.nn.utils.prune",
    StochasticWeightAveraging: "its average reaches no checkpoint, and it puts another schedule in "
    "the place of the model's: give WeightAveraging or EMAWeightAveraging",
}


def check_settings(settings: Mapping[str, Any], command: str) -> None:
    """Refuse what the trainer would ignore, or fail at in the middle of a training.

    Args:
        settings: of the trainer, by name.
        command: that they are for.

    Raises:
        UserError: names the setting.
    """
    for name, least in _LEAST.items():
        value = settings[name]
        if value is not None and value < least:
            raise UserError(f"trainer.{name} is {value}, expected at least {least}")
    interval = settings["val_check_interval"]
    if isinstance(interval, int | float) and interval <= 0:
        raise UserError(
            f"trainer.val_check_interval is {interval}, expected more than 0: to train without "
            "validation give --trainer.limit_val_batches=0"
        )
    for name in _NO_TRAINING:
        if command == "fit" and settings[name] == 0:
            raise UserError(f"trainer.{name} is 0, expected more: nothing would be trained")
    for unit in ("epochs", "steps"):
        least_count, most = settings[f"min_{unit}"], settings[f"max_{unit}"]
        if least_count is not None and most is not None and 0 < most < least_count:
            raise UserError(
                f"trainer.min_{unit} is {least_count}, expected at most trainer.max_{unit}, {most}"
            )
    if settings["gradient_clip_algorithm"] and not settings["gradient_clip_val"]:
        raise UserError(
            f"trainer.gradient_clip_algorithm is {settings['gradient_clip_algorithm']}, expected "
            "none without trainer.gradient_clip_val: nothing would be clipped"
        )
    if settings["barebones"]:
        raise UserError(
            "trainer.barebones is true, expected false: a run keeps checkpoints, logs and results. "
            "To measure speed, give --trainer.fast_dev_run=N or --trainer.profiler=simple"
        )
    if settings["enable_checkpointing"] is False:
        raise UserError(
            "trainer.enable_checkpointing is false, expected true: test, predict and a continued "
            "run need the checkpoints. To try a training out, give --trainer.fast_dev_run=N"
        )
    if settings["model_registry"] is not None:
        raise UserError(
            f"trainer.model_registry is {settings['model_registry']}, expected none: checkpoints "
            "are kept in the run's folder. See mutualformer export for other places"
        )


def check_trainer(trainer: Trainer, settings: Mapping[str, Any]) -> None:
    """Refuse what a trainer's parts cannot do together, or would do wrong in a run of this project.

    Raises:
        UserError: names the setting.
    """
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    if settings["sync_batchnorm"] and on_cpu and trainer.world_size > 1:
        raise UserError(
            "trainer.sync_batchnorm is true, expected false on CPUs: torch synchronises batch "
            "normalisation between GPUs only"
        )
    if trainer.num_nodes > 1 and _is_alone(trainer):
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, but nothing says where the other machines "
            "are, and this one would wait for them for ever: start it on all of them (srun, "
            "torchrun, or MASTER_ADDR and NODE_RANK), or give --trainer.num_nodes=1, which a saved "
            "config.yaml needs on one machine"
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for unfit, reason in _UNFIT_CALLBACKS.items():
            if isinstance(callback, unfit):
                raise UserError(
                    f"trainer.callbacks has {type(callback).__name__}, expected others: {reason}"
                )


def _is_alone(trainer: Trainer) -> bool:
    """Return whether no launcher has told this process of other machines."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return type(environment) is LightningEnvironment and "MASTER_ADDR" not in os.environ


def loggers_for(settings: Mapping[str, Any], command: str) -> list[Logger]:
    """Return the loggers of a run: in `fit` always CSV files in its folder, unless told not to.

    Other loggers come on top of that; one for W&B is told which folder the run has.
    """
    given = settings["logger"]
    folder = Path(settings["default_root_dir"])
    loggers = [] if given in (None, True, False) else given
    loggers = loggers if isinstance(loggers, list) else [loggers]
    for logger in loggers:
        if isinstance(logger, WandbRunLogger):
            logger.use_folder(folder)
    # Only fit has curves to keep.
    if command == "fit" and given is not False:
        logs = RunFolder(folder).logs
        loggers = [CSVLogger(logs.parent, logs.name), *loggers]
    return loggers


def plain(value: Any) -> Any:
    """Return settings whose texts YAML can write: some defaults are members of an enumeration.

    >>> class Interval(str, Enum):
    ...     STEP = "step"
    >>> plain(Namespace(interval=Interval.STEP))
    Namespace(interval='step')
    """
    if isinstance(value, Namespace):
        for name, of_name in vars(value).items():
            setattr(value, name, plain(of_name))
    elif isinstance(value, list):
        return [plain(item) for item in value]
    elif isinstance(value, Enum) and isinstance(value, str):
        return value.value
    return value
