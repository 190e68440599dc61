"""A sweep with real trainings, killed in the middle."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lightning_modules.sweep.trial_state import TrialState, read_state

from .conftest import EPSILON, REPOSITORY, TINY, wait_until


@pytest.mark.slow
def test_killed_in_the_middle_and_continued(
    write_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer: {max_epochs: 2}\ndata: {init_args: {num_train: 100}}\n")
    path = write_sweep({EPSILON: {"values": [0.2, 0.6]}})
    command = [
        *(sys.executable, "-m", "lightning_modules.main", "sweep", str(path)),
        *("--config", str(TINY), "--config", str(overlay)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    first, second = tmp_path / "runs" / "epsilon=0.2", tmp_path / "runs" / "epsilon=0.6"
    results, last = first / "results.json", second / "checkpoints" / "last.ckpt"

    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        wait_until(lambda: zipfile.is_zipfile(last), seconds=240)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: read_state(second) is TrialState.INTERRUPTED)
    finished = results.stat().st_mtime_ns
    assert torch.load(last, weights_only=True)["epoch"] == 0

    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 trials: 2 done" in again.stdout
    assert results.stat().st_mtime_ns == finished
    assert (first / "trial.log").read_text().count("\n--- ") == 0
    log = (second / "trial.log").read_text()
    assert f"Restored all states from the checkpoint at {last}" in log
    checkpoint = torch.load(last, weights_only=True)
    assert (checkpoint["epoch"], checkpoint["global_step"]) == (1, 100)
