"""Tell mistakes of the user from defects of the program, and print the former as one message."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("mutualformer", "lightning_modules", "datamodules")
ROOT = Path(__file__).resolve().parent.parent
WORKER_TRACEBACK = "Original Traceback (most recent call last):"


def is_user_error(error: BaseException) -> bool:
    """Say whether an exception is a mistake of the user rather than a defect.

    It is one if it is a ``ValueError`` that this project raised itself: deliberate errors in these
    packages are about arguments and data, while a ``ValueError`` out of a library is a defect of
    ours. One that a data-loading worker raised comes wrapped in text and is looked up there.
    """
    if not isinstance(error, ValueError):
        return False
    message = str(error)
    if WORKER_TRACEBACK in message:
        files = [line for line in message.splitlines() if line.lstrip().startswith('File "')]
        raised_in = files[-1].split('"')[1] if files else ""
    else:
        frames = traceback.extract_tb(error.__traceback__)
        raised_in = frames[-1].filename if frames else ""
    return any(Path(raised_in).is_relative_to(ROOT / package) for package in PACKAGES)


def user_message(error: BaseException) -> str:
    """Return an error's own words, without the traceback that a worker process adds."""
    message = str(error)
    if WORKER_TRACEBACK in message:
        marker = f"{type(error).__name__}: "
        message = message.rsplit(marker, 1)[-1]
    return message.strip()


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print a user error as ``error: …`` and exit with code 2; let everything else through."""
    try:
        yield
    except ValueError as error:
        if not is_user_error(error) or os.environ.get("MUTUALFORMER_TRACEBACK"):
            raise
        print(f"error: {user_message(error)}", file=sys.stderr)
        raise SystemExit(2) from None
