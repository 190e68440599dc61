"""Tell mistakes of the user from defects of the program, and print the former as one message."""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_modules.report.escape import escape_terminal

PACKAGES = ("mutualformer", "lightning_modules", "datamodules")
ROOT = Path(__file__).resolve().parents[2]
# Where Lightning checks the settings of its trainer against each other and the machine.
_SETTINGS = (
    "pytorch/trainer/connectors",
    "pytorch/accelerators",
    "fabric/accelerators",
    "fabric/utilities/device_parser.py",
)


def find_user_error(error: BaseException | None) -> BaseException | None:
    """Return the mistake of the user that led to an exception, or ``None`` if it is a defect.

    It is one if Lightning says that the trainer is misconfigured, or refuses a setting of it (a
    strategy, a number of devices), or if it is a ``ValueError`` that this project raised itself:
    deliberate errors in these packages are about arguments and data, while a ``ValueError`` out of
    another library is a defect of ours. Libraries may have wrapped it, so its causes are searched
    too.
    """
    # Late: importing it takes seconds, which commands without a trainer need not wait.
    import lightning.pytorch
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    package = Path(lightning.pytorch.__file__).resolve().parents[2]
    settings = [package / part for part in _SETTINGS]
    while error is not None:
        if isinstance(error, MisconfigurationException):
            return error
        if isinstance(error, ValueError) and _raised_here(error):
            return error
        if isinstance(error, ValueError | TypeError) and _raised_in(error, settings):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print a user error as ``error: …`` and exit with code 2; let everything else through."""
    try:
        yield
    except Exception as error:
        mistake = find_user_error(error)
        if mistake is None or os.environ.get("MUTUALFORMER_TRACEBACK"):
            raise
        print(f"error: {escape_terminal(str(mistake))}", file=sys.stderr)
        raise SystemExit(2) from None


def _raised_here(error: ValueError) -> bool:
    # One that a data-loading worker raised is raised again by torch, but keeps its class.
    return type(error).__module__.split(".")[0] in PACKAGES or _raised_in(
        error, [ROOT / package for package in PACKAGES]
    )


def _raised_in(error: Exception, folders: Iterable[Path]) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and any(
        Path(frames[-1].filename).is_relative_to(folder) for folder in folders
    )
