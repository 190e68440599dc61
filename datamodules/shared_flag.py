"""A flag that is the same one in all worker processes, so that they say something once."""

import fcntl
from contextlib import suppress

import torch


class SharedFlag:
    """A flag, not set, in memory that worker processes share with the one that made it.

    >>> flag = SharedFlag()
    >>> bool(flag), flag.set_first(), flag.set_first(), bool(flag)
    (False, True, False, True)
    """

    def __init__(self) -> None:
        self._value = torch.zeros((), dtype=torch.bool).share_memory_()

    def __bool__(self) -> bool:
        return bool(self._value)

    def set_first(self) -> bool:
        """Set it; returns whether this process was the first, also where two try at once."""
        with open(__file__, "rb") as file:
            with suppress(OSError):  # of some network file systems; the lock ends with the file
                fcntl.flock(file, fcntl.LOCK_EX)
            is_first = not self
            self._value.fill_(True)
        return is_first
