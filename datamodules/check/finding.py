"""What a check has to say."""

from collections.abc import Callable
from typing import NamedTuple

# Takes kind, message and whether it is an error, as below.
Report = Callable[..., None]


class Finding(NamedTuple):
    """One thing that a check found.

    Attributes:
        dataset: path of the data set below the root that was checked; empty for the root itself.
        kind: a word for what is wrong, such as `unreadable`, `size` or `polarity`.
        message: names the file, says what is wrong with it and what to do; one line.
        is_error: whether it must be mended; what was only noticed is handled as the message says.
        files: all that it is about, where the message names the first of many only.
    """

    dataset: str
    kind: str
    message: str
    is_error: bool = True
    files: tuple[str, ...] = ()
