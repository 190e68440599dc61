"""A run that was stopped goes on, by the same command, to what one that was not is: bit for bit."""

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import (
    Injection,
    assert_same_run,
    call_at,
    cut_and_kill_at,
    load,
    signal_at,
)
from lightning.pytorch.callbacks import ModelCheckpoint

from datamodules import paired_modality_data_module
from lightning_modules import SaliencyModule
from lightning_modules.callbacks import StepSeed
from lightning_modules.callbacks.learning_curves import read_curves
from lightning_modules.callbacks.stop_signals import SIGNALS

Run = Callable[..., Any]
SIGKILL, SIGTERM, SIGUSR1 = signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1


@pytest.fixture(scope="module")
def fit(forked: Callable, augmented: list[str]) -> Run:
    """Run `fit` on three batches in each of three epochs; returns its exit code and output."""

    def run(folder: Path, *options: str, inject: Injection | None = None, **more: Any) -> Any:
        # With large steps, the best epoch is not the last.
        large_steps = "--model.optimizer.init_args.lr=0.01"
        folder_option = f"--trainer.default_root_dir={folder}"
        arguments = ["fit", *augmented, large_steps, folder_option, *options]
        return forked(arguments, inject, **more).wait()

    return run


@pytest.fixture(scope="module")
def whole(fit: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert fit(folder).code == 0
    # The best is not the last, so that a choice that was forgotten would show.
    assert load(folder, "best")["epoch"] < load(folder)["epoch"] == 2
    steps = [step for step, _ in read_curves(folder / "logs")["train/loss"]]
    assert steps == list(range(9))
    return folder


def is_last_checkpoint(_source: Any, target: Any) -> bool:
    return Path(target).name == "last.ckpt"


# Two held-out pairs make two batches per validation.
MOMENTS = {
    "in the first epoch": signal_at(SaliencyModule, "training_step", 2, SIGKILL),
    "in the middle of an epoch": signal_at(SaliencyModule, "training_step", 6, SIGKILL),
    "in the first validation": signal_at(SaliencyModule, "validation_step", 1, SIGKILL),
    "within a validation": signal_at(SaliencyModule, "validation_step", 4, SIGKILL),
    "within the first checkpoint": cut_and_kill_at(1),
    "within the last checkpoint": cut_and_kill_at(4),
    "before the rename": signal_at(os, "replace", 2, SIGKILL, counts=is_last_checkpoint),
    "between best and last": signal_at(ModelCheckpoint, "_save_last_checkpoint", 1, SIGKILL),
    "in the test": signal_at(SaliencyModule, "test_step", 1, SIGKILL),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(fit: Run, whole: Path, tmp_path: Path, moment: str) -> None:
    assert fit(tmp_path, inject=MOMENTS[moment]).code == -SIGKILL
    assert not (tmp_path / "results.json").exists()
    finished = fit(tmp_path)
    assert finished.code == 0, finished.output
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_killed_in_a_long_epoch_that_is_saved_by_the_minute(
    fit: Run, whole: Path, tmp_path: Path
) -> None:
    for step in (2, 2, 4):  # of this attempt: in the first epoch twice, and in the second
        done = load(tmp_path)["global_step"] if (tmp_path / "checkpoints").exists() else 0
        inject = signal_at(SaliencyModule, "training_step", step, SIGKILL)
        assert fit(tmp_path, "--checkpoint.minutes=1e-6", inject=inject).code == -SIGKILL
        assert load(tmp_path)["global_step"] == done + step - 1
    assert fit(tmp_path).code == 0
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_killed_with_workers_that_read_ahead(fit: Run, whole: Path, tmp_path: Path) -> None:
    workers = "--data.num_workers=2"
    for step in (5, 6):
        inject = signal_at(SaliencyModule, "training_step", step, SIGKILL)
        assert fit(tmp_path, workers, inject=inject).code == -SIGKILL
    assert fit(tmp_path, workers).code == 0
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "num_steps", "num_validations"), [(0, 9, 2), (2, 3, 1)])
def test_a_signal_loses_nothing(
    fit: Run, whole: Path, tmp_path: Path, workers: int, num_steps: int, num_validations: int
) -> None:
    """Stopped in every batch, a run never repeats a step; a validation is given up and repeated."""
    option = f"--data.num_workers={workers}"
    for step in range(1, num_steps + 1):
        inject = signal_at(SaliencyModule, "training_step", 1, SIGNALS[step % len(SIGNALS)])
        finished = fit(tmp_path, option, inject=inject)
        assert (finished.code, load(tmp_path)["global_step"]) == (0, step), finished.output
        assert "the same command continues" in finished.output
    for batch in range(1, num_validations + 1):
        inject = signal_at(SaliencyModule, "validation_step", batch, SIGTERM)
        finished = fit(tmp_path, option, inject=inject)
        assert (finished.code, load(tmp_path)["global_step"]) == (0, num_steps), finished.output
        assert not (tmp_path / "results.json").exists()
    assert (
        fit(tmp_path, option, inject=signal_at(SaliencyModule, "test_step", 1, SIGUSR1)).code == 0
    )
    assert not (tmp_path / "results.json").exists()
    assert fit(tmp_path, option).code == 0
    assert_same_run(tmp_path, whole)


def to_all(signum: str) -> Callable[..., None]:
    """Send a signal to the training and its workers, as Slurm does; others send it, not they."""

    def send(*_: object) -> None:
        workers = [str(worker.pid) for worker in multiprocessing.active_children()]
        assert len(workers) >= 2
        subprocess.run(["kill", f"-{signum}", *workers, str(os.getpid())], check=True)

    return send


@pytest.mark.slow
def test_a_signal_to_the_workers_as_well_loses_nothing(
    fit: Run, whole: Path, tmp_path: Path
) -> None:
    workers = "--data.num_workers=2"
    for step, signum in enumerate(("TERM", "USR2"), 1):
        inject = call_at(SaliencyModule, "training_step", 1, to_all(signum))
        finished = fit(tmp_path, workers, inject=inject)
        assert (finished.code, load(tmp_path)["global_step"]) == (0, step), finished.output

    def of_a_user() -> None:  # whose data module does not know of it
        paired_modality_data_module.begin_worker = None  # type: ignore[assignment]
        call_at(SaliencyModule, "training_step", 2, to_all("TERM"))()

    finished = fit(tmp_path, workers, inject=of_a_user)
    assert finished.code == 0, finished.output
    assert fit(tmp_path, workers).code == 0
    assert_same_run(tmp_path, whole)


def kill_a_worker(*_: object) -> None:
    os.kill(multiprocessing.active_children()[0].pid or 0, SIGKILL)


# Of two moments that nothing orders, either may come first.
WORKERS = {
    "while they start": (signal_at(BaseProcess, "start", 2, SIGTERM), {0, 128 + SIGTERM}),
    "when one of them dies": (
        call_at(
            SaliencyModule,
            "training_step",
            2,
            lambda *_: (kill_a_worker(), os.kill(os.getpid(), SIGTERM)),
        ),
        {0, 1},
    ),
    "and Ctrl-C to all": (call_at(SaliencyModule, "training_step", 2, to_all("INT")), {1}),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", WORKERS)
def test_a_signal_among_workers_ends_the_training(
    fit: Run, whole: Path, tmp_path: Path, moment: str
) -> None:
    inject, codes = WORKERS[moment]
    workers = "--data.num_workers=2"
    start = time.monotonic()
    finished = fit(tmp_path, workers, inject=inject)
    assert time.monotonic() - start < 60
    assert finished.code in codes, finished.output
    assert fit(tmp_path, workers).code == 0
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_gradients_that_wait_for_more_are_not_lost(fit: Run, tmp_path: Path) -> None:
    accumulate = "--trainer.accumulate_grad_batches=2"
    assert fit(tmp_path / "whole", accumulate).code == 0
    # Steps of the optimiser are after the 2nd, 3rd, 5th, 6th … batch.
    inject = signal_at(SaliencyModule, "training_step", 4, SIGTERM)
    assert fit(tmp_path / "stopped", accumulate, inject=inject).code == 0
    assert load(tmp_path / "stopped")["global_step"] == 3
    assert fit(tmp_path / "stopped", accumulate).code == 0
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.slow
def test_a_run_that_was_moved_keeps_its_choice(fit: Run, whole: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    inject = signal_at(SaliencyModule, "training_step", 6, SIGKILL)
    assert fit(here, inject=inject).code == -SIGKILL
    here.rename(there)
    assert fit(there).code == 0
    assert_same_run(there, whole)


def test_steps_and_processes_draw_different_numbers() -> None:
    class At:
        def __init__(self, current_epoch: int, global_rank: int) -> None:
            self.current_epoch, self.global_rank = current_epoch, global_rank

    def draw(epoch: int, batch: int, rank: int) -> float:
        StepSeed().on_train_batch_start(At(epoch, rank), None, None, batch)  # type: ignore[arg-type]
        return torch.rand(1).item()

    keys = [(epoch, batch, rank) for epoch in range(3) for batch in range(3) for rank in range(2)]
    drawn = [draw(*key) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert [draw(*key) for key in keys] == drawn
