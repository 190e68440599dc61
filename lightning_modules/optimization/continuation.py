"""What a continued training takes over from its checkpoint, and what is typed for it anew."""

import copy
import re
import warnings
from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, SequentialLR

from mutualformer.errors import UserError

# By this key a checkpoint holds the settings that its optimiser and schedule were built from.
KEY = "optimization"
_FOLLOWS = re.compile(r"\.(_\w+|initial_lr|base_lrs)$")


class Start:
    """Optimiser and schedule as they are built, before the first step.

    Args:
        optimizer: whose options per group are the settings.
        scheduler: as it stands at step 0.
        num_steps: of the training; None if it has no number.
    """

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler, num_steps: int | None) -> None:
        self._optimizer, self._scheduler = optimizer, scheduler
        self._groups = [copy.deepcopy(_options(group)) for group in optimizer.param_groups]
        self._state = copy.deepcopy(scheduler.state_dict())
        self.settings = {
            "optimizer": _name(optimizer),
            "scheduler": _names(scheduler),
            "steps": repr(num_steps),
            **_texts("optimizer", dict(enumerate(self._groups))),
            **_texts("scheduler", self._state),
        }

    def differs(self, stored: Mapping[str, str] | None) -> bool:
        """Tell whether a checkpoint was written with other settings, or does not say with which."""
        return stored is None or stored != self.settings

    def scheduler_state(self) -> dict[str, Any]:
        """Return the state of the schedule at step 0."""
        return copy.deepcopy(self._state)

    def take_over(self, stored: Mapping[str, str] | None, step: int) -> list[str]:
        """Let the settings of now count, if they differ from those of a checkpoint.

        The optimiser keeps what it has gathered. The schedule stands where it would stand at this
        step if it had been that of now from the beginning.

        Args:
            stored: settings in the checkpoint; None if a former version wrote it.
            step: of the optimiser, at which the checkpoint was written.

        Returns:
            What differs, in words; empty if that is nothing, or not known.
        """
        if not self.differs(stored):
            return []
        # A callback may have added groups, which are its own.
        for group, options in zip(self._optimizer.param_groups, self._groups, strict=False):
            group.update(copy.deepcopy(options))
        self._scheduler.load_state_dict(self.scheduler_state())
        with warnings.catch_warnings():  # that the optimiser has not stepped yet
            warnings.simplefilter("ignore")
            for _ in range(step):
                self._scheduler.step()
        return [] if stored is None else _describe_differences(stored, self.settings)


def check_optimizer(stored: Mapping[str, str] | None, optimizer: object) -> None:
    """Refuse an optimiser that cannot take over the state of a checkpoint.

    Raises:
        UserError: it is of another class.
    """
    there, here = (stored or {}).get("optimizer"), _name(optimizer)
    if there not in (None, here):
        raise UserError(
            f"model.optimizer is {here}, and the checkpoint was written with {there}, whose state "
            "it cannot take over: keep the optimiser, or start anew from the weights alone, with "
            "--model.init_from in place of --ckpt_path"
        )


def _describe_differences(stored: Mapping[str, str], settings: Mapping[str, str]) -> list[str]:
    """Say which settings differ, such as ``optimizer.0.lr 0.001 -> 0.01``."""
    names = [*settings, *(name for name in stored if name not in settings)]
    differing = [name for name in names if stored.get(name) != settings.get(name)]
    # What only follows from the others is told if there is nothing else.
    told = [name for name in differing if not _FOLLOWS.search(name)] or differing
    return [
        f"{name} {stored.get(name, 'not set')} -> {settings.get(name, 'not set')}" for name in told
    ]


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _texts(prefix: str, value: Any) -> dict[str, str]:
    """Write plain values as text; what has no value of its own, such as a function, is left out."""
    if isinstance(value, Mapping):
        parts = [_texts(f"{prefix}.{name}", part) for name, part in value.items()]
        return {name: text for part in parts for name, text in part.items()}
    text = repr(value)
    return {} if " at 0x" in text else {prefix: text}


def _name(instance: object) -> str:
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _names(scheduler: LRScheduler) -> str:
    parts = scheduler._schedulers if isinstance(scheduler, SequentialLR) else [scheduler]
    return " + ".join(_name(part) for part in parts)
