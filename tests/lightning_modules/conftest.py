"""The command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forked_command import Forked
from PIL import Image

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


# Every part, and a checkpoint of four megabytes. Batch normalisation and dropout are in it.
SMALL = ["--config", str(HERE / "tiny.yaml")]


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Options of the smallest training."""
    return [*SMALL, "--affinity_maps.num_samples=0"]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight RGB-D pairs to train and validate on, and two to test."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for index in range(10):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 + index : 30, 12:40] = 255
        rgb = generator.integers(0, 256, (48, 64, 3), np.uint8)
        for name, image in {"RGB": rgb, "depth": rgb[..., 0], "GT": mask}.items():
            folder = root / ("PAIRS" if index < 8 else "OTHERS") / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{index}.png")
    return root


@pytest.fixture(scope="session")
def augmented(pairs: Path) -> list[str]:
    """Options of a small training with augmentation: three epochs of three batches."""
    return [
        *SMALL,
        *("--data", "datamodules.RGBDSaliencyDataModule", f"--data.root={pairs}"),
        *("--data.train_sets=[PAIRS]", "--data.validation_fraction=0.25"),
        *("--data.batch_size=2", "--data.eval_batch_size=1", "--data.image_size=64"),
        *("--data.num_workers=0", "--trainer.max_epochs=3", "--test_after_fit=true"),
        *("--data.test_sets=[OTHERS]", "--affinity_maps.num_samples=0"),
        "--data.seed=7",  # with this order, the first epoch is the best one
    ]


@pytest.fixture(scope="session")
def forked() -> type[Forked]:
    """Start the command in a process that has everything imported."""
    return Forked
