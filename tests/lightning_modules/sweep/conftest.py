"""Sweep files, and sweeps as a user starts them, with a stand-in for the training."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_slurm import RealSlurm, why_not

REPOSITORY = Path(__file__).resolve().parents[3]
TINY = REPOSITORY / "tests" / "lightning_modules" / "tiny.yaml"
FAKE_TRAINING = Path(__file__).with_name("fake_training.py")
EPSILON = "model.network.fusion.epsilon"


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a sweep file, with settings replaced."""

    def write(parameters: object = None, **settings: object) -> Path:
        if parameters is None:
            parameters = {EPSILON: {"values": [0.0, 0.3, 0.6]}}
        content: dict[str, Any] = {
            "method": "grid",
            "parameters": parameters,
            "command": [
                *("${env}", "mutualformer", "trial", "--folder", str(tmp_path / "runs")),
                *("--config", str(TINY), "${args}"),
            ],
            **settings,
        }
        path = tmp_path / "sweep.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


class Mutualformer:
    """The command in processes of its own, which train nothing."""

    def __init__(self, folder: Path) -> None:
        (folder / "sitecustomize.py").write_text(
            "import sys, types\n"
            "from lightning_modules.sweep import trial_process\n"
            f"trial_process.TRAINING_COMMAND = (sys.executable, {str(FAKE_TRAINING)!r})\n"
            "unchecked = types.ModuleType('unchecked')\n"
            "unchecked.check_trials = lambda sweep, trials: None\n"
            "sys.modules['lightning_modules.sweep.check_trials'] = unchecked\n"
        )
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "COLUMNS")
        }
        self.environment["PYTHONPATH"] = f"{folder}{os.pathsep}{REPOSITORY}"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start it, in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lightning_modules.main", *map(str, arguments)],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments: object, **environment: str) -> tuple[int, str]:
        """Run it; returns exit code and output."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output


@pytest.fixture
def mutualformer(tmp_path: Path) -> Iterator[Mutualformer]:
    """Return the command; what a test leaves running is ended."""
    folder = tmp_path / "site"
    folder.mkdir()
    command = Mutualformer(folder)
    yield command
    for process in command.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def read_events(folder: Path) -> list[tuple[str, str]]:
    """Return what the stand-in noted: event and trial, in order."""
    path = folder / "events.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines]


@pytest.fixture(scope="session")
def daemons() -> Iterator[RealSlurm]:
    """Slurm itself, or skip."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:  # short: it holds sockets
        slurm = RealSlurm(Path(folder))
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


@pytest.fixture
def real_slurm(daemons: RealSlurm, mutualformer: Mutualformer) -> Iterator[RealSlurm]:
    """Slurm itself with an empty queue, which the command of the test submits to."""
    mutualformer.environment.update(daemons.environment)
    yield daemons
    daemons.empty_the_queue()
