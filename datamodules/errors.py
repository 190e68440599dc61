"""Errors that the user can mend."""

from mutualformer.errors import UserError


class DataError(UserError):
    """Something is wrong with the files or the data settings given by the user.

    The message says in one or two lines what was found and where, what was expected and what to
    do. A `DataError` raised in a worker of a DataLoader arrives with that same message.

    >>> DataError("NLPR/RGB: no images")
    DataError('NLPR/RGB: no images')
    """

    def __init__(self, message: str) -> None:
        # torch re-raises an error of a worker with the worker's whole traceback as its message.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


def check_at_least(least: int, **values: int) -> None:
    """Raise a `UserError` that names an argument below its least value.

    >>> check_at_least(1, batch_size=0)
    Traceback (most recent call last):
        ...
    mutualformer.errors.UserError: batch_size is 0, expected at least 1
    """
    for name, value in values.items():
        if value < least:
            raise UserError(f"{name} is {value}, expected at least {least}")
