"""Learning-rate schedulers built by what their parameters mean, whatever their order."""

import inspect
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CyclicLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from lightning_modules.lightning_internals import position
from mutualformer.errors import UserError, refused_setting

# What a scheduler may call the number of its steps; a class of the user's too.
_STEPS = ("T_max", "total_iters", "total_steps", "num_training_steps", "max_steps", "max_iters")
# Of these two, the rates are arguments: one number counts for all groups, as `lr` does.
_WITH_RATES = (OneCycleLR, CyclicLR)
_RATES = ("base_lr", "max_lr")


class SchedulerFactory(Protocol):
    """Make a scheduler of an optimiser: a class, a partial of one, or a function.

    A function gets the optimiser and the number of steps; a class the number under the name that
    means it, out of those below, and nothing that is given already. The command line's parser reads
    here which arguments need no value.
    """

    def __call__(  # noqa: D102
        self,
        optimizer: Optimizer,
        /,
        *,
        T_max: int,  # noqa: N803
        total_iters: int,
        total_steps: int,
        num_training_steps: int,
        max_steps: int,
        max_iters: int,
        max_lr: float,
    ) -> LRScheduler: ...


def number_of_steps(trainer: Trainer) -> int | None:
    """Return how many steps of the optimiser a training has; None if it has no end but by hand.

    Also if the number of accumulated batches changes from epoch to epoch.
    """
    number = trainer.estimated_stepping_batches
    if _has_epochs(trainer):
        number = sum(_steps_of_epoch(trainer, epoch) for epoch in range(trainer.max_epochs or 0))
        number = number if trainer.max_steps == -1 else min(number, trainer.max_steps)
    return int(number) if 0 <= number < math.inf else None


def number_of_steps_continued(trainer: Trainer) -> int | None:
    """Return how many steps a training will have had that goes on with other settings.

    Those behind it may have been of another size.
    """
    if not _has_epochs(trainer):
        return number_of_steps(trainer)
    epochs, batches = position(trainer)
    left = sum(_steps_of_epoch(trainer, x) for x in range(epochs, trainer.max_epochs or 0))
    if batches:
        left -= _steps_of_epoch(trainer, epochs, batches)
    number = trainer.global_step + max(left, 0)
    return number if trainer.max_steps == -1 else min(number, trainer.max_steps)


def _has_epochs(trainer: Trainer) -> bool:
    """Tell whether the number of epochs, and that of batches in each, are known."""
    has_number = trainer.max_epochs is not None and trainer.max_epochs > 0
    return has_number and math.isfinite(trainer.num_training_batches)


def _steps_of_epoch(trainer: Trainer, epoch: int, num_batches: int | None = None) -> int:
    """Return the steps of an epoch, or those that begin and end in its first batches."""
    changing = _changing_accumulation(trainer)
    size = trainer.accumulate_grad_batches
    size = changing.get_accumulate_grad_batches(epoch) if changing else size
    whole = trainer.num_training_batches
    if num_batches is not None and num_batches < whole:
        return num_batches // size
    return math.ceil(whole / size)


def accumulates(trainer: Trainer) -> bool:
    """Tell whether a step of the optimiser takes several batches, in any epoch."""
    changing = _changing_accumulation(trainer)
    return trainer.accumulate_grad_batches > 1 or (
        changing is not None and changing.going_to_accumulate_grad_batches()
    )


def _changing_accumulation(trainer: Trainer) -> GradientAccumulationScheduler | None:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    found = (x for x in callbacks if isinstance(x, GradientAccumulationScheduler))
    return next(found, None)


def filled_in(scheduler_class: type) -> dict[str, Any]:
    """Return the parameters that get a value where none is given, with the type of theirs.

    >>> from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR
    >>> filled_in(CosineAnnealingLR), filled_in(StepLR)
    ({'T_max': int | None}, {})
    """
    parameters = set[str]()
    for base in scheduler_class.__mro__:  # as far as **options are handed on
        own = inspect.signature(base.__init__).parameters  # type: ignore[misc]
        parameters |= own.keys()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
            break
    found: dict[str, Any] = {name: int | None for name in _STEPS if name in parameters}
    if issubclass(scheduler_class, _WITH_RATES):
        found["max_lr"] = float | list[float] | None
    return found


def check_scheduler_class(scheduler_class: type) -> None:
    """Refuse a scheduler that a setting cannot describe.

    Raises:
        UserError: it needs a score, or other schedulers.
    """
    if issubclass(scheduler_class, ReduceLROnPlateau):
        reason = "waits for a score, and the schedule here goes by steps"
    elif "schedulers" in inspect.signature(scheduler_class).parameters:
        reason = "combines schedulers that were built for the optimiser before"
    else:
        return
    raise UserError(
        f"model.scheduler is {scheduler_class.__qualname__}, which {reason}, expected a scheduler "
        "that knows its rates: choose CosineAnnealingLR, PolynomialLR, StepLR or another, with "
        "--model.warmup_steps if it is to begin slowly, or write a class of your own"
    )


def build_scheduler(
    factory: SchedulerFactory,
    optimizer: Optimizer,
    num_steps: int | None,
    warmup_steps: int = 0,
) -> LRScheduler:
    """Build the schedule of a training.

    Args:
        factory: see :class:`SchedulerFactory`. The scheduler spans the steps after the warm-up.
        optimizer: whose rates it changes. They are the highest that a scheduler reaches which is
            not told others.
        num_steps: of the training; None if it has no such number.
        warmup_steps: in which the rates first rise from 1 %, fewer than there are.

    Raises:
        UserError: the class cannot be used, its options do not fit it, or it needs the number.
    """
    rest = num_steps
    if num_steps is not None:
        warmup_steps = max(0, min(warmup_steps, num_steps - 1))
        rest = num_steps - warmup_steps
    scheduler = _build(factory, optimizer, rest)
    if warmup_steps == 0:
        return scheduler
    return _WarmUp(optimizer, scheduler, warmup_steps)


class _WarmUp(SequentialLR):
    """Let the rates rise, then hand them over as the scheduler left them when it was built.

    torch hands over those of the last step of the warm-up, which a scheduler that multiplies what
    it finds would never leave.
    """

    def __init__(self, optimizer: Optimizer, scheduler: LRScheduler, num_steps: int) -> None:
        self._first_rates = [group["lr"] for group in optimizer.param_groups]
        warmup = LinearLR(optimizer, start_factor=0.01, total_iters=num_steps)
        super().__init__(optimizer, [warmup, scheduler], milestones=[num_steps])

    def step(self) -> None:  # type: ignore[override]
        """Go one step on."""
        if self.last_epoch + 1 == self._milestones[0]:
            for group, rate in zip(self.optimizer.param_groups, self._first_rates, strict=True):
                group["lr"] = rate
        super().step()


def _build(factory: SchedulerFactory, optimizer: Optimizer, num_steps: int | None) -> LRScheduler:
    options: dict[str, Any] = {}
    function: Any = factory
    while isinstance(function, partial):
        options = {**function.keywords, **options}
        # The command line's parser makes partials of a function of its own, of the class.
        classes = [x for x in function.args if isinstance(x, type) and issubclass(x, LRScheduler)]
        if function.args and not classes:
            break
        function = classes[0] if classes else function.func
    refusals = (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError)
    with refused_setting("model.scheduler", *refusals):
        if isinstance(function, type):
            check_scheduler_class(function)
            scheduler = function(optimizer, **_complete(function, options, optimizer, num_steps))
        else:
            scheduler = factory(optimizer, num_steps)  # type: ignore[call-arg, arg-type]
        scheduler.state_dict()  # LambdaLR has none of some functions, and a checkpoint needs it
        return scheduler


def _complete(
    scheduler_class: type, given: Mapping[str, Any], optimizer: Optimizer, num_steps: int | None
) -> dict[str, Any]:
    names = filled_in(scheduler_class)
    options = {name: x for name, x in given.items() if x is not None or name not in names}
    if options.get("epochs") and options.get("steps_per_epoch"):  # OneCycleLR's other way to say it
        names.pop("total_steps", None)
    for name in names:
        if name in _STEPS and name not in options:
            if num_steps is None:
                raise UserError(
                    f"trainer.max_epochs and trainer.max_steps are -1, so that "
                    f"{scheduler_class.__qualname__} has no number of steps: give one of them, or "
                    f"--model.scheduler.{name}"
                )
            options[name] = max(num_steps, 1)
        elif name in _STEPS and not (isinstance(options[name], int) and options[name] > 0):
            raise UserError(
                f"model.scheduler.{name} is {options[name]!r}, expected an integer > 0: steps of "
                "the optimiser"
            )
    if issubclass(scheduler_class, _WITH_RATES):
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        options.setdefault("max_lr", rates)
        for name in _RATES:
            if isinstance(options.get(name), int | float) and rates[0] > 0:
                options[name] = [options[name] * rate / rates[0] for rate in rates]
    return options


def readable_by_any_parser(specification: Any) -> Any:
    """Spell the settings of a scheduler for a parser that skips what need not be given."""
    if not isinstance(specification, Mapping):
        return specification
    skipped = set(inspect.signature(SchedulerFactory.__call__).parameters)
    options = dict(specification.get("init_args") or {})
    others = {name: options.pop(name) for name in skipped & options.keys()}
    others = {name: others[name] for name in sorted(others) if others[name] is not None}
    others |= specification.get("dict_kwargs") or {}
    rest = {"init_args": options} | ({"dict_kwargs": others} if others else {})
    return {**specification, **rest}
