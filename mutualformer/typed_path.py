"""Turning what a user typed into a path: the same for every command, YAML and argument."""

import os
import re
from pathlib import Path

from mutualformer.errors import UserError

_BEGINS_ELSEWHERE = re.compile(r"(~[\w.-]*|\$[A-Za-z_]\w*|\$\{\w+\})(/|$)")


def typed_path(text: str | Path) -> Path:
    """Return the path that was typed, in whatever form.

    A shell expands ``~`` and variables at the start of a word alone, not after ``--option=``, and
    nothing expands them in a YAML.

    Raises:
        UserError: the text is empty, or names a user or a variable that does not exist.

    >>> typed_path("data/./NJU2K/")
    PosixPath('data/NJU2K')
    >>> typed_path("~/data") == Path.home() / "data" == typed_path("$HOME/data")
    True
    """
    if not str(text).strip():
        raise UserError("a path is empty, expected the name of a file or folder")
    return Path(expand_home(str(text)))


def expand_home(text: str) -> str:
    """Replace ``~``, ``~user``, ``$NAME`` or ``${NAME}`` where a path begins with it.

    Other text is returned as it is.

    >>> expand_home("paid in $, not in ~"), expand_home("runs/$HOME")
    ('paid in $, not in ~', 'runs/$HOME')
    """
    found = _BEGINS_ELSEWHERE.match(text)
    if found is None:
        return text
    expanded = os.path.expandvars(os.path.expanduser(text))
    if expanded == text:
        what = "user" if text[0] == "~" else "environment variable"
        raise UserError(f"{text}: there is no {what} {found[1]!r}, expected a path: write it out")
    return expanded
