"""Every scheduler of torch, and one of one's own: bound by meaning, or refused by name."""

import copy
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torch.optim import SGD, Adagrad, AdamW, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules import SaliencyModule
from lightning_modules.cli.brief_parser import BriefParser
from lightning_modules.cli.sockets import check_classes
from lightning_modules.optimization.schedule import build_scheduler
from mutualformer.errors import UserError

STEPS = 6
SCHEDULERS = {
    name: found
    for name, found in vars(lr_scheduler).items()
    if inspect.isclass(found) and issubclass(found, LRScheduler) and not name.startswith("_")
} | {"SWALR": torch.optim.swa_utils.SWALR}
SCHEDULERS.pop("LRScheduler")


def cosine(step: int) -> float:
    return (1 + math.cos(math.pi * step / STEPS)) / 2


def doubled(step: int) -> float:
    return 2.0**step


# Options that have no default, and the rates of six steps at a configured rate of 1.
EXPECTED: dict[str, tuple[dict[str, Any], list[float]]] = {
    "CosineAnnealingLR": ({}, [cosine(step) for step in range(STEPS)]),
    "PolynomialLR": ({}, [1 - step / STEPS for step in range(STEPS)]),
    "LinearLR": ({}, [1 / 3 + 2 / 3 * step / STEPS for step in range(STEPS)]),
    "ConstantLR": ({}, [1 / 3] * STEPS),
    "StepLR": ({"step_size": 2, "gamma": 0.5}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
    "MultiStepLR": ({"milestones": [1, 4]}, [1, 0.1, 0.1, 0.1, 0.01, 0.01]),
    "ExponentialLR": ({"gamma": 0.5}, [0.5**step for step in range(STEPS)]),
    "CosineAnnealingWarmRestarts": ({"T_0": 2}, [1, 0.5, 1, 0.5, 1, 0.5]),
    "LambdaLR": ({"lr_lambda": f"{__name__}.doubled"}, [2.0**step for step in range(STEPS)]),
    "MultiplicativeLR": ({"lr_lambda": f"{__name__}.doubled"}, [1, 2, 8, 64, 1024, 32768]),
    "CyclicLR": (
        {"base_lr": 0.5, "step_size_up": 2, "cycle_momentum": False},
        [0.5, 0.75, 1, 0.75, 0.5, 0.75],
    ),
    "OneCycleLR": (
        {"cycle_momentum": False, "anneal_strategy": "linear", "pct_start": 0.5, "div_factor": 5},
        [0.2, 0.6, 1, 2 / 3, 1 / 3, 0],
    ),
    "SWALR": (
        {"swa_lr": 0.5, "anneal_epochs": 2, "anneal_strategy": "linear"},
        [1, 0.75] + [0.5] * 4,
    ),
}
REFUSED = {"ReduceLROnPlateau", "SequentialLR", "ChainedScheduler"}


class Own(LRScheduler):
    """Halve the rate at half of the steps, which come third."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 0.5, max_steps: int = 1, last_epoch: int = -1
    ) -> None:
        self.factor, self.middle = factor, max_steps // 2
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        factor = self.factor if self.last_epoch >= self.middle else 1
        return [rate * factor for rate in self.base_lrs]


class Shifted(lr_scheduler.CosineAnnealingLR):
    """Hand all options on."""

    def __init__(self, optimizer: Optimizer, *arguments: Any, **options: Any) -> None:
        super().__init__(optimizer, *arguments, **options)


def optimizer_of(kind: Callable = SGD, *rates: float) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (1.0,)]
    return kind(groups)


def rates_of(scheduler: LRScheduler, num_steps: int = STEPS) -> list[list[float]]:
    rates = []
    for _ in range(num_steps):
        rates.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return [list(group) for group in zip(*rates, strict=True)]


def settings(path: str, **options: Any) -> dict[str, Any]:
    network = {"class_path": "own_parts.TwoLayers", "init_args": {"width": 2}}
    scheduler = {"class_path": path, "init_args": options}
    model = {"class_path": "lightning_modules.SaliencyModule"}
    return {"model": model | {"init_args": {"network": network, "scheduler": scheduler}}}


def parse(content: dict[str, Any], parser_class: type = BriefParser) -> SaliencyModule:
    """Build a module as the command line does, or as Lightning does from a checkpoint."""
    parser = parser_class(exit_on_error=False)
    parser.add_subclass_arguments(SaliencyModule, "model", fail_untyped=False)
    return parser.instantiate_classes(parser.parse_object(content))["model"]


def test_every_scheduler_of_torch_is_in_the_table() -> None:
    assert SCHEDULERS.keys() == EXPECTED.keys() | REFUSED


@pytest.mark.parametrize("name", EXPECTED)
def test_settings_reach_the_parameters_that_mean_them(name: str) -> None:
    options, expected = EXPECTED[name]
    path = f"{SCHEDULERS[name].__module__}.{name}"
    content = settings(path, **options)
    check_classes([content])
    for factory in (
        parse(content).scheduler_factory,
        functools.partial(SCHEDULERS[name], **options) if "lr_lambda" not in options else None,
    ):
        if factory is not None:
            # The encoders' rate is a multiple of the others'.
            rates, encoder = rates_of(build_scheduler(factory, optimizer_of(SGD, 1, 0.1), STEPS))
            assert rates == pytest.approx(expected, abs=1e-4)
            if name != "SWALR":
                assert encoder == pytest.approx([0.1 * rate for rate in expected], abs=1e-4)
            assert max(rates) <= 1 or "lr_lambda" in options


@pytest.mark.parametrize("name", EXPECTED)
def test_after_a_warm_up_it_is_the_same(name: str) -> None:
    options, _ = EXPECTED[name]
    path = f"{SCHEDULERS[name].__module__}.{name}"
    factory = parse(settings(path, **options)).scheduler_factory
    (expected,) = rates_of(build_scheduler(factory, optimizer_of(), STEPS))
    (rates,) = rates_of(build_scheduler(factory, optimizer_of(), STEPS + 2, 2), STEPS + 2)
    if name not in ("LinearLR", "ConstantLR"):  # which begin below the rate that is configured
        assert rates[:2] == pytest.approx([0.01 * rates[2], 0.505 * rates[2]])
    assert max(rates) <= 1 or "lr_lambda" in options
    assert rates[2:] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["MultiplicativeLR", "OneCycleLR", "CosineAnnealingLR"])
def test_a_warm_up_goes_on_from_its_state(name: str) -> None:
    options, _ = EXPECTED[name]
    path = f"{SCHEDULERS[name].__module__}.{name}"
    factory = parse(settings(path, **options)).scheduler_factory
    whole = rates_of(build_scheduler(factory, optimizer_of(), STEPS, 3))[0]
    for stop in (2, 3, 4):
        first, second = (build_scheduler(factory, optimizer_of(), STEPS, 3) for _ in range(2))
        rates_of(first, stop)
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        second.optimizer.load_state_dict(first.optimizer.state_dict())
        assert rates_of(second, STEPS - stop)[0] == whole[stop:]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_served_is_refused_by_name(name: str) -> None:
    content = settings(f"torch.optim.lr_scheduler.{name}")
    with pytest.raises(UserError, match=rf"model.scheduler is {name}, which .*: choose Cosine"):
        check_classes([content])
    with pytest.raises(UserError, match=name):
        build_scheduler(SCHEDULERS[name], optimizer_of(), STEPS)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("CosineAnnealingLR", {"T_max": 2}, [1, 0.5, 0, 0.5, 1, 0.5]),
        ("PolynomialLR", {"total_iters": 2, "power": 2}, [1, 0.25, 0, 0, 0, 0]),
        ("ConstantLR", {"total_iters": 2, "factor": 0.5}, [0.5, 0.5, 1, 1, 1, 1]),
        ("OneCycleLR", {"max_lr": 2, "pct_start": 0.5}, [0.08, 1.04, 2, 1.5, 0.5, 0]),
        ("OneCycleLR", {"epochs": 2, "steps_per_epoch": 3, "pct_start": 0.5}, None),
    ],
)
def test_what_is_typed_counts(name: str, options: dict, expected: list | None) -> None:
    factory = parse(settings(f"torch.optim.lr_scheduler.{name}", **options)).scheduler_factory
    # Of a training that is longer, where the number of steps is given.
    scheduler = build_scheduler(factory, optimizer_of(AdamW), STEPS if expected else 100)
    (rates,) = rates_of(scheduler)
    if expected is None:
        assert scheduler.total_steps == 6
    else:
        assert rates == pytest.approx(expected, abs=1e-4)


def test_a_class_of_one_s_own_and_a_function() -> None:
    half = [1, 1, 1, 0.25, 0.25, 0.25]
    factory = parse(settings(f"{__name__}.Own", factor=0.25)).scheduler_factory
    assert rates_of(build_scheduler(factory, optimizer_of(), STEPS)) == [half]

    for options, expected in (({}, 0.0), ({"T_max": 2 * STEPS}, 0.5)):
        factory = parse(settings(f"{__name__}.Shifted", **options)).scheduler_factory
        scheduler = build_scheduler(factory, optimizer_of(), STEPS)
        rates_of(scheduler)
        assert scheduler.get_last_lr() == pytest.approx([expected])

    def function(optimizer: Optimizer, steps: int) -> LRScheduler:
        return Own(optimizer, 0.25, steps)

    assert rates_of(build_scheduler(function, optimizer_of(), STEPS)) == [half]


@pytest.mark.parametrize(
    ("content", "optimizer", "num_steps", "words"),
    [
        (
            settings("torch.optim.lr_scheduler.PolynomialLR"),
            SGD,
            None,
            "or --model.scheduler.total_iters",
        ),
        (
            settings("torch.optim.lr_scheduler.CosineAnnealingLR", T_max=0),
            SGD,
            6,
            "T_max is 0, expected",
        ),
        (settings("torch.optim.lr_scheduler.OneCycleLR"), Adagrad, 6, "cycle_momentum"),
        (
            settings("torch.optim.lr_scheduler.StepLR", step_size=1, last_epoch=3),
            SGD,
            6,
            "initial_lr",
        ),
        (
            settings("torch.optim.lr_scheduler.LambdaLR", lr_lambda="math.cos"),
            SGD,
            6,
            "model.scheduler: .*builtin",
        ),
    ],
)
def test_settings_that_make_no_schedule(
    content: dict, optimizer: Callable, num_steps: int | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        build_scheduler(parse(content).scheduler_factory, optimizer_of(optimizer), num_steps)


@pytest.mark.parametrize("options", [{}, {"T_max": 3, "eta_min": 0.5}])
def test_a_checkpoint_s_settings_are_read_by_lightning_s_own_parser(options: dict) -> None:
    """`load_from_checkpoint` knows nothing of the command line."""
    spec = parse(settings("torch.optim.lr_scheduler.CosineAnnealingLR", **options))
    dumped = {"T_max": None, **options}
    from lightning_modules.optimization.schedule import readable_by_any_parser

    content = settings("torch.optim.lr_scheduler.CosineAnnealingLR", **dumped)
    arguments = content["model"]["init_args"]
    arguments["scheduler"] = readable_by_any_parser(arguments["scheduler"])
    plain = parse(content, ArgumentParser).scheduler_factory
    expected = rates_of(build_scheduler(spec.scheduler_factory, optimizer_of(), STEPS))
    assert rates_of(build_scheduler(plain, optimizer_of(), STEPS)) == expected
