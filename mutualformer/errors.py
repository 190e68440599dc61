"""The one class of errors that a user can mend."""


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
