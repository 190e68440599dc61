"""The one class of errors that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that the user gave is wrong; the message says what, what was expected, what to do.

    The command line prints it as one line and exits with 2; every other exception is a defect of
    the program and shows its traceback. Being a ``ValueError``, it is what callers in Python
    expect of a bad argument.

    >>> raise UserError("epsilon is 1.0, expected 0 <= epsilon < 1")
    Traceback (most recent call last):
        ...
    mutualformer.errors.UserError: epsilon is 1.0, expected 0 <= epsilon < 1
    """


@contextmanager
def refused_setting(what: str, *classes: type[Exception]) -> Iterator[None]:
    """Take what a library raises within for its refusal of the settings that it was given.

    For phases in which nothing but the user's settings runs: building the trainer, an optimiser, a
    class that the user named.

    Args:
        what: the setting, by its dotted name or class path.
        classes: of exceptions that the library refuses settings by.
    """
    try:
        yield
    except UserError:
        raise
    except classes as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{what}: {reason}") from error
