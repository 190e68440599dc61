"""What a continued training takes over from its checkpoint, and what is typed for it anew."""

import copy
import re
import warnings
from collections.abc import Callable, Mapping
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
        optimizer: new; its options per group are settings.
        build: makes the schedule for a number of steps, on the optimiser.
        num_steps: of the training; None if it has no number.

    Attributes:
        scheduler: the schedule.
        settings: by name, what determines them.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        build: Callable[[int | None], LRScheduler],
        num_steps: int | None,
    ) -> None:
        self._optimizer, self._build = optimizer, build
        self._groups = [copy.deepcopy(_options(group)) for group in optimizer.param_groups]
        self._begin(num_steps)

    def _begin(self, num_steps: int | None) -> None:
        self.scheduler = self._build(num_steps)
        groups = [_options(group) for group in self._optimizer.param_groups]
        self.settings = {
            "optimizer": _name(self._optimizer),
            "scheduler": _names(self.scheduler),
            "steps": repr(num_steps),
            **_texts("optimizer", dict(enumerate(groups))),
            **_texts("scheduler", self.scheduler.state_dict()),
        }

    def differs(self, stored: Mapping[str, str] | None) -> bool:
        """Tell whether a checkpoint was written with other settings, or does not say with which."""
        return stored is None or stored != self.settings

    def take_over(
        self, stored: Mapping[str, str] | None, step: int, num_steps: int | None
    ) -> list[str]:
        """Let the settings of now count in place of those of a checkpoint.

        The optimiser keeps what it has gathered. The schedule stands where it would stand at this
        step if it had been that of now from the beginning.

        Args:
            stored: settings in the checkpoint; None if a former version wrote it.
            step: of the optimiser, at which the checkpoint was written.
            num_steps: of the whole training, as it goes on.

        Returns:
            What differs, in words; empty if that is nothing, or not known.
        """
        # A callback may have added groups, which are its own.
        for group, options in zip(self._optimizer.param_groups, self._groups, strict=False):
            parameters = group["params"]
            group.clear()
            group.update({"params": parameters, **copy.deepcopy(options)})
        self._begin(num_steps)
        with warnings.catch_warnings():  # that the optimiser has not stepped yet
            warnings.simplefilter("ignore")
            for _ in range(step):
                self.scheduler.step()
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
