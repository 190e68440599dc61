"""Measure what a network costs, in evaluation and in a training step."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from lightning_modules.base_module import BaseModule, class_path
from lightning_modules.costs.cost_file import Cost
from lightning_modules.costs.flops import count_flops
from lightning_modules.costs.memory import peak_memory
from lightning_modules.optimization.scheduled_module import ScheduledModule
from lightning_modules.runs.provenance import device_name, git_state
from mutualformer.errors import UserError

_MIB = 2**20
# How long one thing is repeated, but for the warm-up and what takes longer than this once.
_SECONDS = 4.0
_MOST_REPEATS = 50


def measure_cost(module: BaseModule, batch: Mapping[str, Any], trainer: Trainer) -> Cost:
    """Measure a network on a training batch that lies on the trainer's device.

    Forward passes take the first image alone, in evaluation; training steps are forward pass, loss
    with what fusions add, backward pass and step of the module's optimiser, at a learning rate of
    0, so that no number depends on where a training is.

    Args:
        module: on the trainer's device.
        batch: as the module gets it in training.
        trainer: whose precision and device are used; it trains nothing.

    Raises:
        UserError: an operator has no count of FLOPs, or the task has optimisers of its own.
    """
    if type(module).configure_optimizers is not ScheduledModule.configure_optimizers:
        raise UserError(
            f"{class_path(module)} has a configure_optimizers of its own, whose step cannot be "
            "measured, expected a task that overrides build_optimizer instead"
        )
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    precision.convert_module(module)  # in place
    batch = precision.convert_input(batch)
    network, inputs = module.network, [batch[name][:1] for name in ("rgb", "depth")]

    @torch.no_grad()
    def forward() -> None:
        with precision.forward_context():
            network(*inputs)

    optimizer = module.build_optimizer()
    for group in optimizer.param_groups:
        group["lr"] = 0.0

    def loss_and_gradients() -> Any:
        optimizer.zero_grad()
        with precision.forward_context():
            loss = module.training_loss(batch)
        loss.backward()
        return loss

    def step() -> None:
        optimizer.step(loss_and_gradients)

    def two_steps() -> None:
        step()  # in which the optimiser makes its state
        step()

    module.eval()
    forward_flops = count_flops(forward)
    forward_mib = peak_memory(forward, device) / _MIB
    forward_ms = median_ms(forward, device)
    module.train()
    # Before anything else: until then there are neither gradients nor an optimiser's state.
    step_mib = peak_memory(two_steps, device) / _MIB
    batch_size, *_, height, width = batch["rgb"].shape
    sizes = [(x.numel(), x.requires_grad) for x in network.parameters()]
    return Cost(
        parameters=sum(size for size, _ in sizes),
        trainable_parameters=sum(size for size, is_trained in sizes if is_trained),
        forward_flops=forward_flops,
        forward_ms=forward_ms,
        forward_mib=forward_mib,
        step_flops=round(count_flops(loss_and_gradients) / batch_size),
        step_ms=median_ms(step, device),
        step_mib=step_mib,
        batch_size=batch_size,
        image_size=f"{height} × {width}",
        precision=str(trainer.precision),
        device=_model_of(device),
        num_threads=torch.get_num_threads() if device.type == "cpu" else 0,
        torch=torch.__version__,
        git=git_state(),
    )


def median_ms(run: Callable[[], object], device: torch.device) -> float:
    """Call a function for some seconds, once to warm up; return the median of its milliseconds."""

    def once() -> float:
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        return 1000 * (time.perf_counter() - start)

    once()
    times = [once()]
    while len(times) < _MOST_REPEATS and sum(times) < 1000 * _SECONDS:
        times.append(once())
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _model_of(device: torch.device) -> str:
    """Name a device as in results, but a CPU by its model where Linux tells it."""
    if device.type != "cpu":
        return device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = " ".join(next(iter(names), "").split()) or platform.machine()
    return f"cpu ({''.join(filter(str.isprintable, name))})"
