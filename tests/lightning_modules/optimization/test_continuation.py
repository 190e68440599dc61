"""A continued training: what its checkpoint keeps, and what is typed for it."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import load
from small_fit import fit, stop_at
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from lightning_modules import SaliencyModule
from lightning_modules.optimization.continuation import Start

FOUR_EPOCHS = "--trainer.max_epochs=4"  # of three steps each


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that stopped after two of four epochs."""
    folder = tmp_path_factory.mktemp("half") / "run"
    assert fit(folder, FOUR_EPOCHS, stop_at(6)) == 0
    assert load(folder)["global_step"] == 6
    return folder


@pytest.fixture
def first_step(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the options of the optimiser in the first step, and how many steps it remembers.

    Nothing is trained: the command exits there.
    """
    seen: dict[str, Any] = {}

    def record(self: SaliencyModule, *_arguments: object) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        (group,) = optimizer.param_groups
        state = optimizer.state.get(group["params"][0], {})
        for name, value in {**group, "steps": int(state.get("step", 0))}.items():
            seen.setdefault(name, value)
        raise SystemExit(0)

    monkeypatch.setattr(SaliencyModule, "on_train_batch_start", record)
    return seen


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        # The schedule of now, at step 6 of 12; of 24; of 12 with warm-up.
        ([], "lr", 0.0005),
        (["--model.optimizer.lr=0.01"], "lr", 0.005),
        (["--trainer.max_epochs=8"], "lr", 0.001 * (1 + math.cos(math.pi / 4)) / 2),
        (["--trainer.max_epochs=-1", "--trainer.max_steps=18"], "lr", 0.00075),
        (["--model.scheduler=PolynomialLR", "--model.scheduler.power=2"], "lr", 0.00025),
        (["--model.scheduler.eta_min=0.0005"], "lr", 0.00075),
        (["--model.scheduler.T_max=6"], "lr", 0.0),
        (["--model.scheduler=StepLR", "--model.scheduler.step_size=5"], "lr", 0.0001),
        (["--model.warmup_steps=8"], "lr", 0.001 * (0.01 + 0.99 * 6 / 8)),
        # Two epochs of two or three steps each are left.
        (["--data.batch_size=3"], "lr", 0.001 * (1 + math.cos(math.pi * 6 / 10)) / 2),
        (
            ["--trainer.accumulate_grad_batches=3"],
            "lr",
            0.001 * (1 + math.cos(math.pi * 6 / 8)) / 2,
        ),
        (["--model.optimizer.weight_decay=0.3"], "weight_decay", 0.3),
        (["--model.optimizer.betas=[0.8, 0.9]"], "betas", (0.8, 0.9)),
    ],
)
def test_what_is_typed_counts_and_the_optimiser_keeps_its_state(
    half: Path, tmp_path: Path, first_step: dict, options: list[str], name: str, expected: Any
) -> None:
    last = half / "checkpoints" / "last.ckpt"
    with pytest.raises(SystemExit, match="0"):
        fit(tmp_path, FOUR_EPOCHS, f"--ckpt_path={last}", *options)
    assert first_step[name] == pytest.approx(expected, abs=1e-12)
    assert first_step["steps"] == 6


def test_the_same_settings_go_on_bit_for_bit_elsewhere(half: Path, tmp_path: Path) -> None:
    last = half / "checkpoints" / "last.ckpt"
    assert fit(tmp_path / "whole", FOUR_EPOCHS) == 0
    assert fit(tmp_path / "continued", FOUR_EPOCHS, f"--ckpt_path={last}") == 0
    whole, continued = load(tmp_path / "whole"), load(tmp_path / "continued")
    for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(continued[part], whole[part], rtol=0, atol=0)


def test_another_optimiser_is_refused_before_anything_is_written(
    half: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last = half / "checkpoints" / "last.ckpt"
    folder = tmp_path / "new"
    with pytest.raises(SystemExit, match="2"):
        fit(folder, FOUR_EPOCHS, f"--ckpt_path={last}", "--model.optimizer=torch.optim.SGD")
    message = capfd.readouterr().err
    assert "torch.optim.sgd.SGD, and the checkpoint was written with torch.optim.adamw" in message
    assert "--model.init_from" in message and not folder.exists()


def build(
    lr: float = 1.0, factor: float = 0.5, kind: Any = StepLR, **options: Any
) -> tuple[Optimizer, LRScheduler, Start]:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": lr * x} for x in (1, factor)]
    optimizer = Adam(groups)
    start = Start(optimizer, lambda _: kind(optimizer, **options), 10)
    return optimizer, start.scheduler, start


def train(optimizer: Optimizer, scheduler: LRScheduler, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        for group in optimizer.param_groups:
            group["params"][0].grad = torch.ones(1)
        optimizer.step()
        scheduler.step()
    return rates


def test_a_rebuilt_schedule_is_that_of_a_training_from_the_beginning() -> None:
    """Also of the momentum, which OneCycleLR changes, and of each group by itself."""
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"step_size": 3}, {"step_size": 2, "lr": 3.0}),
        ({"step_size": 3}, {"step_size": 3, "factor": 0.25}),
        ({"step_size": 3}, {"kind": OneCycleLR, "max_lr": [1.0, 0.5], "total_steps": 10}),
        ({"kind": CosineAnnealingLR, "T_max": 5}, {"kind": CosineAnnealingLR, "T_max": 10}),
    ]
    for before, now in cases:
        optimizer, scheduler, start = build(**before)
        train(optimizer, scheduler, 4)
        continued, _, its_start = build(**now)
        continued.load_state_dict(optimizer.state_dict())
        assert its_start.differs(start.settings)
        assert its_start.take_over(start.settings, 4, 10)
        assert continued.state[continued.param_groups[0]["params"][0]]["step"] == 4
        whole, whole_scheduler, _ = build(**now)
        expected = train(whole, whole_scheduler, 9)[4:]
        assert train(continued, its_start.scheduler, 5) == expected
        assert continued.param_groups[0]["betas"] == whole.param_groups[0]["betas"]


def test_a_training_that_changed_its_steps_goes_on_by_the_same_command(
    half: Path, tmp_path: Path
) -> None:
    """Its number of steps, 6 + 4, is not that of four epochs of two steps."""
    last = half / "checkpoints" / "last.ckpt"
    options = [FOUR_EPOCHS, "--data.batch_size=3"]
    assert fit(tmp_path / "whole", *options, f"--ckpt_path={last}") == 0
    assert fit(tmp_path / "stopped", *options, f"--ckpt_path={last}", stop_at(8)) == 0
    assert fit(tmp_path / "stopped", *options) == 0
    whole, stopped = load(tmp_path / "whole"), load(tmp_path / "stopped")
    for part in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(stopped[part], whole[part], rtol=0, atol=0)
    assert whole["lr_schedulers"][0]["T_max"] == whole["global_step"] == 10


def test_a_warm_up_may_be_left_out(half: Path, tmp_path: Path) -> None:
    """And another number of schedulers in the schedule is no obstacle in either direction."""
    last = half / "checkpoints" / "last.ckpt"
    options = [FOUR_EPOCHS, "--model.warmup_steps=8", stop_at(7)]
    assert fit(tmp_path / "warm", *options, f"--ckpt_path={last}") == 0
    last = tmp_path / "warm" / "checkpoints" / "last.ckpt"
    assert fit(tmp_path / "cold", FOUR_EPOCHS, stop_at(8), f"--ckpt_path={last}") == 0
    (state,) = load(tmp_path / "cold")["lr_schedulers"]
    assert state["_last_lr"] == pytest.approx([0.001 * (1 + math.cos(math.pi * 8 / 12)) / 2])
    assert state.keys() == load(half)["lr_schedulers"][0].keys()


def test_equal_settings_do_not_differ_whatever_happened_since() -> None:
    optimizer, scheduler, start = build(step_size=3)
    train(optimizer, scheduler, 4)
    assert not start.differs(build(step_size=3)[2].settings)


def test_a_checkpoint_of_a_former_version_counts_as_different() -> None:
    optimizer, scheduler, start = build(step_size=3)
    optimizer.param_groups[0]["lr"] = 0.125
    assert start.differs(None) and start.take_over(None, 4, 10) == []
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_a_difference_is_told_without_what_follows_from_it() -> None:
    stored = build(step_size=3)[2].settings
    assert build(step_size=3, lr=2.0)[2].take_over(stored, 4, 10) == [
        "optimizer.0.lr 1.0 -> 2.0",
        "optimizer.1.lr 0.5 -> 1.0",
    ]
