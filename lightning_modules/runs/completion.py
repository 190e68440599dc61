"""Whether there is anything left to train: by a checkpoint's progress, or by what ended its run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from datamodules.files import write_atomically
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import flatten
from lightning_modules.runs.yaml_text import read_yaml_mapping
from mutualformer.errors import UserError

# A run goes on in its own folder if one of these is raised.
_LIMITS = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")


@dataclass(frozen=True)
class Ending:
    """How a training ended in good order; it is left out for a signal or an error.

    Attributes:
        reason: in words.
        global_step: at which it ended.
    """

    reason: str
    global_step: int


def write_ending(run: RunFolder, ending: Ending) -> None:
    """Record it beside the checkpoints."""
    write_atomically(run.ending, f"{json.dumps(asdict(ending))}\n".encode())


def read_ending(run: RunFolder, checkpoint: Mapping[str, Any]) -> Ending | None:
    """Return how the training ended that wrote the checkpoint as its last state, if it did."""
    try:
        ending = Ending(**json.loads(run.ending.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return ending if ending.global_step == checkpoint.get("global_step") else None


def why_complete(
    path: Path, checkpoint: Mapping[str, Any], run: RunFolder, config: Mapping[str, Any]
) -> str | None:
    """Say by what a run ended that is to be continued; None if there is something left to do.

    A run in its own folder goes on if a limit was raised, or the callbacks, which may have ended
    it, were changed.

    Args:
        path: of the checkpoint to continue from.
        checkpoint: what `read_checkpoint` returned.
        run: whose folder is written to.
        config: resolved configuration that `fit` was called with.

    Raises:
        UserError: the checkpoint is another run's, which is complete: there would be nothing to
            write.
    """
    its_run = RunFolder(path.resolve().parent.parent)
    ended = _why_ended(its_run, checkpoint, config)
    if path.resolve().parent == run.checkpoints.resolve():
        return ended
    init_from = flatten(config).get("model.init_from")
    began_with = (checkpoint.get("hyper_parameters") or {}).get("init_from")
    if init_from not in (None, began_with):
        raise UserError(
            f"--ckpt_path is {path} and model.init_from is {init_from}, expected one of them: the "
            "former continues a training, the latter begins one"
        )
    if ended := _why_at_its_end(checkpoint, config) or ended:
        raise UserError(
            f"{path} has nothing left to train ({ended}): to train longer, raise "
            "--trainer.max_epochs or what else limits it; to begin a new training with its "
            "weights, give --model.init_from in place of --ckpt_path"
        )
    return None


def _why_ended(
    run: RunFolder, checkpoint: Mapping[str, Any], config: Mapping[str, Any]
) -> str | None:
    """Say by what the run ended that wrote a checkpoint, as far as it is recorded."""
    try:
        before = flatten(read_yaml_mapping(run.config, "the settings of a run"))
    except (OSError, UserError):
        return None
    ending = read_ending(run, checkpoint)  # after the settings: it goes before they are written
    now = flatten(config)
    goes_on = any(is_raised(name, before.get(name), now.get(name)) for name in _LIMITS)
    callbacks = [flat.get("trainer.callbacks") or [] for flat in (before, now)]
    if ending is None or goes_on or callbacks[0] != callbacks[1]:
        return None
    return ending.reason


def _why_at_its_end(checkpoint: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Say which limit a checkpoint has reached, whatever its run."""
    trainer = config["trainer"]
    done = {"max_epochs": _num_epochs(checkpoint), "max_steps": checkpoint.get("global_step", 0)}
    for name, number in done.items():
        if number >= _as_number(trainer.get(name)):
            return f"trainer.{name} is {trainer[name]}, and it is at {number}"
    return None


def is_raised(name: str, before: Any, now: Any) -> bool:
    """Tell whether a setting is a limit of the training, and higher than before.

    >>> is_raised("trainer.max_epochs", 4, 8), is_raised("trainer.max_epochs", 8, 4)
    (True, False)
    >>> is_raised("trainer.max_time", "00:01:00:00", "00:02:00:00")
    True
    """
    return name in _LIMITS and _as_number(now) > _as_number(before)


def _as_number(limit: Any) -> float:
    """Return a number of epochs, steps or seconds; infinity for none."""
    try:
        if isinstance(limit, str):
            days, hours, minutes, seconds = (int(part) for part in limit.split(":"))
            return timedelta(days, seconds, hours=hours, minutes=minutes).total_seconds()
        if isinstance(limit, Mapping):
            return timedelta(**limit).total_seconds()
        return math.inf if limit in (None, -1) else float(limit)
    except (TypeError, ValueError):  # which the trainer refuses
        return math.inf


def _num_epochs(checkpoint: Mapping[str, Any]) -> int:
    """Return how many epochs are trained, the last one's validation aside."""
    try:
        loop = checkpoint["loops"]["fit_loop"]
        epochs = loop["epoch_progress"]["current"]
        is_last_batch = loop["epoch_loop.batch_progress"]["is_last_batch"]
        return epochs["processed"] + (epochs["started"] > epochs["processed"] and is_last_batch)
    except (KeyError, TypeError):  # what a script wrote
        return 0
