"""A signal that comes before training has begun ends it at once, and its job comes back."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from break_at import call_at

from lightning_modules.cli.first_signals import ended_by_signals

SIGUSR1, SIGTERM = signal.SIGUSR1, signal.SIGTERM
# What waits as the C++ code of a process group does: no handler of Python's is run meanwhile.
WAITING = """
import ctypes
from lightning_modules.cli.first_signals import ended_by_signals
with ended_by_signals():
    print("ready", flush=True)
    libc = ctypes.CDLL(None)
    while True:
        libc.sleep(60)
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Variables of a task of Slurm, with commands that note what they are asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    answer = 'test -e "$0.answer" && cat "$0.answer"'
    for name, text in {"scontrol": 'echo "$@" >> "$0.asked"', "squeue": answer}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        **{"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


@pytest.mark.parametrize(
    ("signum", "squeue", "others", "code", "is_queued"),
    [
        (SIGUSR1, "RUNNING N/A None", {}, 0, True),
        (SIGUSR1, "", {}, 0, True),  # it does not answer
        (SIGUSR1, "COMPLETING N/A None", {}, 138, False),  # cancelled meanwhile
        (SIGTERM, "RUNNING 2026-11-28T21:13:11 None", {}, 0, True),  # preempted, with grace time
        (SIGTERM, "RUNNING N/A None", {}, 143, False),
        (SIGTERM, "COMPLETING N/A None", {}, 143, False),
        (SIGUSR1, "RUNNING N/A None", {"SLURM_PROCID": "1"}, 138, False),
        (SIGUSR1, "RUNNING N/A None", {"SLURM_JOB_NAME": "bash"}, 138, False),
    ],
)
def test_it_ends_at_once_though_the_main_thread_waits(
    signum: signal.Signals,
    squeue: str,
    others: dict[str, str],
    code: int,
    is_queued: bool,
    slurm: dict[str, str],
    tmp_path: Path,
) -> None:
    if squeue:
        (tmp_path / "bin" / "squeue.answer").write_text(f"{squeue}\n")
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env={**os.environ, **slurm, **others},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signum)
    _, error = process.communicate(timeout=30)
    assert process.returncode == code, error
    asked = tmp_path / "bin" / "scontrol.asked"
    assert (asked.read_text() if asked.exists() else "") == ("requeue 7\n" if is_queued else "")
    assert f"Stopped by {signum.name}" in error
    assert ("Job 7 is queued again" in error) == is_queued


def test_handlers_are_as_before_afterwards_and_those_of_others_count() -> None:
    before, seen = signal.getsignal(SIGUSR1), []
    with ended_by_signals():
        signal.signal(SIGUSR1, lambda signum, _: seen.append(signum))
        os.kill(os.getpid(), SIGUSR1)
        time.sleep(0.1)
    assert seen == [SIGUSR1]
    assert signal.getsignal(SIGUSR1) == before
    deadline = time.monotonic() + 10
    while [thread for thread in threading.enumerate() if thread.name.endswith("(_watch)")]:
        assert time.monotonic() < deadline


# A child that outlives what it was forked in, as a worker does that the traceback of an exception
# keeps: it gets each signal, and so does nobody else.
CHILD = """
import os, signal, sys, time
from lightning_modules.cli.first_signals import ended_by_signals
try:
    with ended_by_signals():
        reading, writing = os.pipe()
        if fork := os.fork():
            os.read(reading, 1)
            for signum in (signal.SIGUSR1, signal.SIGUSR2):
                os.kill(fork, signum)
            time.sleep(.2)
            raise OSError
        os.write(writing, b".")
        time.sleep(60)
except OSError:
    print("ended", flush=True)
    os.kill(fork, signal.SIGTERM)
    _, status = os.waitpid(fork, 0)
    sys.exit(os.WTERMSIG(status))
"""


def test_nothing_waits_for_a_child_and_its_signals_are_its_own() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (finished.returncode, finished.stdout) == (SIGTERM, "ended\n"), finished.stderr


@pytest.mark.slow
def test_two_machines_that_wait_for_each_other(
    forked: Callable[..., Any], small: list[str], slurm: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bin" / "squeue.answer").write_text("RUNNING N/A None\n")

    def soon(*_: object) -> None:
        threading.Timer(1, lambda: os.kill(os.getpid(), SIGUSR1)).start()

    when_they_wait = call_at(torch.distributed, "init_process_group", 1, soon)
    arguments = ["fit", *small, f"--trainer.default_root_dir={tmp_path / 'run'}"]
    both = {**slurm, "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_NODEID": "0"}
    place = {"SLURM_LOCALID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29871"}
    finished = forked(
        [*arguments, "--trainer.num_nodes=2"], when_they_wait, {**both, **place}
    ).wait()
    assert finished.code == 0, finished.output
    assert "Job 7 is queued again" in finished.output
    assert "Initializing distributed" in finished.output
