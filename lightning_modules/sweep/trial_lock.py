"""A lock that lives as long as the training that holds it."""

import fcntl
import os
import socket
import time
from pathlib import Path

from lightning_modules.runs.run_folder import RunFolder

_ATTEMPTS = 5
_PAUSE = 0.05  # seconds


class TrialLock:
    """The exclusive right to run a trial, kept by the operating system.

    It belongs to the open file: handed to a subprocess (`pass_fds=[lock.descriptor]`), it is held
    until that has ended too, however either of them ends. It works across the machines of a cluster
    where their common file system knows `flock`.

    Attributes:
        descriptor: the open file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, folder: Path) -> "TrialLock | None":
        """Create the folder and take its lock; returns None if somebody else holds it.

        Raises:
            OSError: the folder cannot be written, or its file system knows no locks.
        """
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(RunFolder(folder).lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # Who asks whether it is held holds it for a moment.
            for attempt in range(_ATTEMPTS):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if attempt + 1 == _ATTEMPTS:
                        break
                    time.sleep(_PAUSE)
                else:
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{socket.gethostname()}, process {os.getpid()}".encode())
                    return cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Close the file; the lock is free once no subprocess has it open either."""
        os.close(self.descriptor)


def lock_holder(folder: Path) -> str | None:
    """Say who holds the lock of a folder; None if it is free."""
    try:
        descriptor = os.open(RunFolder(folder).lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 200).decode(errors="replace") or "unknown"
    else:
        return None
    finally:
        os.close(descriptor)
