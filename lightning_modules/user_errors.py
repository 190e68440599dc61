"""Tell mistakes of the user from defects of the program, and print the former as one message."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("mutualformer", "lightning_modules", "datamodules")
ROOT = Path(__file__).resolve().parent.parent


def find_user_error(error: BaseException | None) -> BaseException | None:
    """Return the mistake of the user that led to an exception, or ``None`` if it is a defect.

    It is one if Lightning says that the trainer is misconfigured, or if it is a ``ValueError`` that
    this project raised itself: deliberate errors in these packages are about arguments and data,
    while a ``ValueError`` out of another library is a defect of ours. Libraries may have wrapped
    it, so its causes are searched too.
    """
    # Late, because importing Lightning takes seconds.
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    while error is not None:
        if isinstance(error, MisconfigurationException):
            return error
        if isinstance(error, ValueError) and _raised_here(error):
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
        print(f"error: {mistake}", file=sys.stderr)
        raise SystemExit(2) from None


def _raised_here(error: ValueError) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    raised_in = Path(frames[-1].filename) if frames else Path()
    # One that a data-loading worker raised is raised again by torch, but keeps its class.
    return type(error).__module__.split(".")[0] in PACKAGES or any(
        raised_in.is_relative_to(ROOT / package) for package in PACKAGES
    )
