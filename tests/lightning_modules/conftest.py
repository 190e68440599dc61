"""The command in a process of its own."""

import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from lightning_modules.main import main

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


class Finished(NamedTuple):
    """How a process ended: its exit code, or minus the signal, and what it printed."""

    code: int
    output: str


class Forked:
    """The command in a copy of this process, which need not import anything first.

    Args:
        arguments: of the command.
        inject: is called in the copy before the command, to break something there.
        environment: variables that are added.
    """

    def __init__(
        self,
        arguments: list[str],
        inject: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # Here, because it takes seconds in every copy.
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401

        import lightning_modules.command_line  # noqa: F401

        self._output, write_end = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            os.close(write_end)
            return
        code = 70
        try:
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
            # What pytest would keep for itself.
            for name in ("lightning.pytorch", "lightning.fabric"):
                logging.getLogger(name).handlers = [logging.StreamHandler(sys.stderr)]
            warnings.showwarning = lambda text, *_, **__: print(text, file=sys.stderr)
            os.environ.update(environment or {})
            if inject:
                inject()
            code = main(arguments)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def wait(self) -> Finished:
        """Wait for its end."""
        with open(self._output, errors="replace") as output:
            text = output.read()
        _, status = os.waitpid(self.pid, 0)
        return Finished(os.waitstatus_to_exitcode(status), text)


# Every part, and a checkpoint of four megabytes. Batch normalisation and dropout are in it.
SMALL = [
    *("--config", str(HERE / "tiny.yaml")),
    "--model.network.encoder_name=tu-test_efficientnet",
]


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
    ]


@pytest.fixture(scope="session")
def forked() -> type[Forked]:
    """Start the command in a copy of this process."""
    return Forked
