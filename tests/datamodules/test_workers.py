"""Processes that load data live through what Slurm sends to all processes of a job."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.workers import SignalSafeDataLoader, begin_worker


class Slow(Dataset):
    """Ten numbers; the last one takes its time."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[int, float]:
        time.sleep(60 if index == 9 else 0)
        return index, np.random.random()


def loader(context: str) -> DataLoader:
    return SignalSafeDataLoader(
        Slow(),
        num_workers=1,
        persistent_workers=True,
        worker_init_fn=begin_worker,
        multiprocessing_context=context,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_worker_lives_through_signals_of_others_and_ends_by_those_of_its_training(
    context: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.5)
    # A spawned process has threads of libraries then, to which a signal may come as well.
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    batches = iter(loader(context))
    (worker,) = batches._workers  # other tests may have left children of their own

    def kill() -> None:
        for signum in ("TERM", "USR1", "USR2", "TERM"):
            subprocess.run(["kill", f"-{signum}", str(worker.pid)], check=True)

    kill()  # while it starts
    assert next(batches)[0] == 0
    kill()
    assert [int(next(batches)[0]) for _ in range(8)] == list(range(1, 9))
    start = time.monotonic()
    batches._shutdown_workers()  # while it is busy
    worker.join(10)
    assert worker.exitcode == 0
    assert time.monotonic() - start < 10


def test_a_worker_does_not_outlive_a_training_that_died_before_it_was_ready() -> None:
    program = """
import os, signal, time
from torch.utils.data import DataLoader
from datamodules.workers import begin_worker

def begin(worker):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.5)
    begin_worker(worker)

next(iter(DataLoader([1, 2], num_workers=1, worker_init_fn=begin)))
"""
    # Its output ends with the last process that could write to it.
    words = [sys.executable, "-c", program]
    assert subprocess.run(words, stdout=subprocess.PIPE, timeout=60).returncode == -signal.SIGKILL


def test_lightning_seeds_a_worker_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for seeds in ("0", "1"):
        monkeypatch.setitem(os.environ, "PL_SEED_WORKERS", seeds)
        batches = iter(loader("fork"))
        drawn.append(next(batches)[1].item())
        batches._shutdown_workers()
    assert drawn[0] != drawn[1]
