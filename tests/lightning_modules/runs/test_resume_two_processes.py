"""A run on two processes, of which one or both were stopped, goes on to what it would have been."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_modules import SaliencyModule

from break_at import Injection, assert_same_run, load, signal_at

SIGKILL, SIGTERM, SIGUSR1 = signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1
Injections = tuple[Injection | None, Injection | None]
UNHARMED: Injections = (None, None)


@pytest.fixture(scope="module")
def fit(forked: Callable, augmented: list[str]) -> Callable[..., Any]:
    """Run `fit` on two processes, as torchrun starts them; returns their exit codes and output."""

    def run(folder: Path, inject: Injections = UNHARMED, **environment: str) -> Any:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        both = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "WORLD_SIZE": "2"}
        options = ["--trainer.devices=2", "--data.batch_size=1"]
        processes = [
            forked(
                ["fit", *augmented, *options, f"--trainer.default_root_dir={folder}"],
                inject[rank],
                {**both, "NODE_RANK": "0", "LOCAL_RANK": f"{rank}", **environment},
            )
            for rank in (0, 1)
        ]
        return [process.wait() for process in processes]

    return run


@pytest.fixture(scope="module")
def whole(fit: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    assert [process.code for process in fit(folder)] == [0, 0]
    assert load(folder)["global_step"] == 9
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_one_is_killed_and_the_other_ends_by_itself(
    fit: Callable, whole: Path, tmp_path: Path, lost: int
) -> None:
    kill = signal_at(SaliencyModule, "training_step", 5, SIGKILL)
    processes = fit(tmp_path, (kill, None) if lost == 0 else (None, kill))
    assert processes[lost].code == -SIGKILL
    assert processes[1 - lost].code == 1
    assert "error: another process of this run has ended" in processes[1 - lost].output
    assert "Traceback" not in processes[1 - lost].output
    assert [process.code for process in fit(tmp_path)] == [0, 0]
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_both_are_killed_in_a_validation(fit: Callable, whole: Path, tmp_path: Path) -> None:
    kill = signal_at(SaliencyModule, "validation_step", 2, SIGKILL)
    assert [process.code for process in fit(tmp_path, (kill, kill))] == [-SIGKILL] * 2
    assert [process.code for process in fit(tmp_path)] == [0, 0]
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_sigterm_to_either_or_both_stops_both_in_the_same_step(
    fit: Callable, whole: Path, tmp_path: Path
) -> None:
    def sigterm(step: int, name: str = "training_step") -> Injection:
        return signal_at(SaliencyModule, name, step, SIGTERM)

    for inject, steps in (
        ((sigterm(2), None), 2),
        ((None, sigterm(1)), 3),  # the last of its epoch: the validation is left for later
        ((sigterm(1), sigterm(2)), 4),
        ((sigterm(1, "validation_step"), None), 6),  # a validation of several is finished
    ):
        processes = fit(tmp_path, inject)
        assert [process.code for process in processes] == [0, 0], processes
        assert load(tmp_path)["global_step"] == steps
    assert [process.code for process in fit(tmp_path)] == [0, 0]
    assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_slurm_queues_a_job_again_ahead_of_its_time_limit(
    fit: Callable, whole: Path, tmp_path: Path
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {commands}/asked\n')
    (commands / "scontrol").chmod(0o755)
    slurm = {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        **{"SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2"},
        "SLURM_NTASKS_PER_NODE": "2",
    }

    def task(rank: int, inject: Injection | None) -> Injection:
        def setup() -> None:
            os.environ.update(SLURM_PROCID=f"{rank}", SLURM_LOCALID=f"{rank}", SLURM_NODEID="0")
            del os.environ["LOCAL_RANK"], os.environ["NODE_RANK"], os.environ["WORLD_SIZE"]
            if inject:
                inject()

        return setup

    # Slurm signals every process of a step, each of which is where it is.
    for signum, asked in ((SIGTERM, ""), (SIGUSR1, "requeue 1234\n")):
        inject = [
            task(rank, signal_at(SaliencyModule, "training_step", rank + 1, signum))
            for rank in (0, 1)
        ]
        processes = fit(tmp_path / "run", (inject[0], inject[1]), **slurm)
        assert [process.code for process in processes] == [0, 0], processes
        assert ((commands / "asked").read_text() if asked else asked) == asked
        assert (commands / "asked").exists() == bool(asked)
    processes = fit(tmp_path / "run", (task(0, None), task(1, None)), **slurm)
    assert [process.code for process in processes] == [0, 0], processes
    assert_same_run(tmp_path / "run", whole)
    assert not list((tmp_path / "run").glob("hpc_ckpt*"))


@pytest.mark.slow
def test_a_command_ends_when_a_process_that_it_started_is_killed(
    mutualformer: Callable, tmp_path: Path
) -> None:
    callback = "{class_path: kill_at_step.KillAtStep, init_args: {step: 2, rank: 1}}"
    options = ["--trainer.devices=2", "--data.batch_size=1", "--trainer.max_epochs=2"]
    small = "--model.network.encoder_name=tu-test_efficientnet"
    finished = mutualformer(
        "fit", tmp_path, small, *options, f"--trainer.callbacks=[{callback}]", returncode=1
    )
    assert "error: another process of this run has ended" in finished.stderr
    assert load(tmp_path)["global_step"] == 2
