"""Fixtures that every test may use."""

import logging
import os
import time
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


_START = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let whoever runs the suite bound its time, on machines of unknown speed."""
    parser.addoption(
        "--slow-within",
        type=float,
        metavar="SECONDS",
        help="skip the tests marked slow that would begin later than this",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what is slow last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a slow test for which no time is left."""
    seconds = item.config.getoption("--slow-within")
    late = seconds is not None and time.monotonic() - _START > seconds
    if late and item.get_closest_marker("slow") is not None:
        pytest.skip(f"slow, and the {seconds:g} seconds in which such tests begin are over")


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
