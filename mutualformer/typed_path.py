"""Turning what a user typed into a path: the same for every command, YAML and argument."""

import errno
import os
import re
from pathlib import Path

from mutualformer.errors import UserError

_BEGINS_ELSEWHERE = re.compile(r"(~[\w.-]*|\$[A-Za-z_]\w*|\$\{\w+\})(/|$)")


def typed_path(text: str | Path, what: str = "") -> Path:
    """Return the path that was typed, in whatever form.

    A shell expands ``~`` and variables at the start of a word alone, not after ``--option=``, and
    nothing expands them in a YAML.

    Args:
        text: what was typed.
        what: file or option that has it, for messages; nothing if the text alone tells.

    Raises:
        UserError: the text is empty, is longer than the file system takes or else cannot name a
            file, or names a user or a variable that does not exist.

    >>> typed_path("data/./NJU2K/")
    PosixPath('data/NJU2K')
    >>> typed_path("~/data") == Path.home() / "data" == typed_path("$HOME/data")
    True
    """
    if not str(text).strip():
        raise UserError(f"{what or 'a path'} is empty, expected the name of a file or folder")
    path = Path(expand_home(str(text), what))
    try:
        path.lstat()
    except OSError as error:  # whether there is such a file is the caller's question
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(name_too_long(path, what)) from error
    except ValueError as error:  # a null byte, or half a character
        raise UserError(f"{what or 'a path'} is {str(path)!r:.80}: {error}") from error
    return path


def name_too_long(path: str | Path, what: str = "") -> str:
    """Return what to say of a path that is longer than the file system takes.

    >>> name_too_long("a" * 300, "data.root").partition(", expected")[0]
    'data.root is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… (300 characters): File name too long'
    """
    return (
        f"{what or 'a path'} is {str(path)[:40]}… ({len(str(path))} characters): File name too "
        "long, expected at most 255 bytes between two / on most file systems: shorten it"
    )


def expand_home(text: str, what: str = "") -> str:
    """Replace ``~``, ``~user``, ``$NAME`` or ``${NAME}`` where a path begins with it.

    Other text is returned as it is. An error names `what`, as that of `typed_path` does.

    >>> expand_home("paid in $, not in ~"), expand_home("runs/$HOME")
    ('paid in $, not in ~', 'runs/$HOME')
    """
    found = _BEGINS_ELSEWHERE.match(text)
    if found is None:
        return text
    expanded = os.path.expandvars(os.path.expanduser(text))
    if expanded == text:
        kind = "user" if text[0] == "~" else "environment variable"
        where = f"{what} is {text}" if what else text
        raise UserError(f"{where}: there is no {kind} {found[1]!r}, expected a path: write it out")
    return expanded
