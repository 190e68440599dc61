"""The command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def mutualformer() -> Callable[..., subprocess.CompletedProcess]:
    """Run `mutualformer COMMAND --config tiny.yaml …` in a run folder, on one thread.

    Modules of this folder can be named on the command line.
    """

    def run(
        command: str, folder: Path, *options: str, returncode: int = 0
    ) -> subprocess.CompletedProcess:
        # The parent's distributed settings, if any, are not the child's.
        ours = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        environment = {name: value for name, value in os.environ.items() if name not in ours}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
        environment["OMP_NUM_THREADS"] = "1"
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "lightning_modules.main", command),
                *("--config", str(HERE / "tiny.yaml"), f"--trainer.default_root_dir={folder}"),
                *options,
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == returncode, finished.stdout + finished.stderr
        return finished

    return run
