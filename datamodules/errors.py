"""The error for data that the user can mend."""

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
