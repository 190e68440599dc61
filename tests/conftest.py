"""Fixtures that every test may use."""

import logging
import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
# Lightning's handler keeps the stream of the test that made it, which is closed in later ones, and
# would print a traceback into theirs.
logging.raiseExceptions = False
# Nor are tests a task of Slurm where it runs them.
for name in [name for name in os.environ if name.startswith("SLURM_")]:
    del os.environ[name]


@pytest.fixture(autouse=True)
def _one_thread_and_a_seed() -> None:
    """Make results independent of the order of tests, and leave cores to parallel workers."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder with reference material beside the repository, or skip."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference material is not beside this repository")
    return folder
