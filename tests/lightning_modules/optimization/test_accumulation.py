"""Accumulated batches: how many steps they make, and what a step is the average of."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, GradientAccumulationScheduler
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import PolynomialLR

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule


class Bias(nn.Module):
    """One parameter; the gradient of its mean is 1 in every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return self.bias * torch.ones_like(rgb[:, :1])


class Record(Callback):
    """Keep the gradient and the rate of every step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []

    def on_before_optimizer_step(self, trainer: Trainer, module: Any, optimizer: Any) -> None:
        # Of the module's own hook the effect is seen in the weights.
        self.steps.append((optimizer.param_groups[0]["lr"], module.network.bias.item()))


def train(folder: Path, num_batches: int, skipped: tuple[int, ...] = (), **options: Any) -> Any:
    """Train on batches whose losses are the bias; returns module, rates and size of each step."""
    module = SaliencyModule(
        Bias(), optimizer=lambda groups: SGD(groups, lr=1.0), scheduler=PolynomialLR
    )
    module.non_finite_loss = "skip"
    calls = iter(range(10**6))
    module.compute_loss = lambda batch: (
        module.network.bias.sum()
        * (  # type: ignore[method-assign]
            float("nan") if next(calls) in skipped else 1.0
        )
    )
    record = Record()
    callbacks = [record, *options.pop("callbacks", [])]
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        default_root_dir=folder,
        callbacks=callbacks,
        **options,
    )
    data = SyntheticRGBDDataModule(32, num_train=num_batches, num_val=1, batch_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, data)
    biases = [bias for _, bias in record.steps] + [module.network.bias.item()]
    rates = [rate for rate, _ in record.steps]
    sizes = [
        (before - after) / rate
        for before, after, rate in zip(biases, biases[1:], rates, strict=False)
    ]
    return trainer, rates, sizes


@pytest.mark.parametrize(
    ("num_batches", "accumulated", "skipped"),
    [(5, 2, ()), (5, 3, ()), (4, 8, ()), (6, 2, ()), (6, 3, (1, 3, 4)), (7, 3, (6,))],
)
def test_a_step_is_the_average_of_its_batches(
    tmp_path: Path, num_batches: int, accumulated: int, skipped: tuple[int, ...]
) -> None:
    _, _, sizes = train(
        tmp_path, num_batches, skipped, max_epochs=1, accumulate_grad_batches=accumulated
    )
    expected = [
        1.0 if set(range(first, min(first + accumulated, num_batches))) - {*skipped} else 0.0
        for first in range(0, num_batches, accumulated)
    ]
    assert sizes == pytest.approx(expected)


def test_clipping_sees_the_average(tmp_path: Path) -> None:
    options = {"accumulate_grad_batches": 4, "gradient_clip_val": 0.5}
    _, _, sizes = train(tmp_path, 5, max_epochs=1, **options)
    assert sizes == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("scheduling", "options", "num_steps"),
    [
        ({0: 2}, {"max_epochs": 2}, 6),
        ({0: 4, 1: 2, 3: 1}, {"max_epochs": 4}, 2 + 3 + 3 + 5),
        ({2: 5}, {"max_epochs": 3}, 5 + 5 + 1),
        ({0: 5, 1: 1}, {"max_epochs": 3, "max_steps": 4}, 4),
    ],
)
def test_the_schedule_ends_with_the_training(
    tmp_path: Path, scheduling: dict[int, int], options: dict, num_steps: int
) -> None:
    callbacks = [GradientAccumulationScheduler(scheduling)]
    trainer, rates, sizes = train(tmp_path, 5, callbacks=callbacks, **options)
    assert trainer.global_step == num_steps
    assert rates == pytest.approx([1 - step / num_steps for step in range(num_steps)])
    assert sizes == pytest.approx([1.0] * num_steps, abs=1e-4)
