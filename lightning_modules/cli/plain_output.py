"""Output to what cannot show every character, or is no longer read: no command fails over it."""

import codecs
import io
import os
import sys

_STAND_INS = str.maketrans("×–—−‐¹²†‡…•·│─↑↓≥≤±", "x----*+++.**|-^v><~")
_HANDLER = "mutualformer.stand_in"


def forgive_outputs() -> None:
    """Let stdout and stderr write a stand-in for what they cannot write, and forget a closed pipe.

    A stand-in is a similar sign or a question mark. What a stream has been told to do with such
    characters (``PYTHONIOENCODING=ascii:ignore``) stays as it is. A command whose reader has enough
    of it, as ``head`` has, ends as it would have ended.
    """
    codecs.register_error(_HANDLER, stand_in)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started the command
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # somebody looks after it already
        stream.flush()
        errors = _HANDLER if stream.errors in ("strict", "surrogateescape") else stream.errors
        raw = _ForgivingFile(stream.fileno(), "w", closefd=False)
        forgiving = io.TextIOWrapper(
            io.BufferedWriter(raw),  # type: ignore[type-var]
            encoding=stream.encoding,
            errors=errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        setattr(sys, name, forgiving)


class _ForgivingFile(io.FileIO):
    """A file whose reader may close it."""

    def write(self, content: "memoryview | bytes", /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(content)


def stand_in(error: UnicodeError) -> tuple[str, int]:
    """Return what is written for characters that cannot be, of the same width.

    >>> codecs.register_error("stand_in", stand_in)
    >>> "3 × ü –".encode("ascii", "stand_in")
    b'3 x ? -'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_STAND_INS)
    return "".join(x if x.isascii() else "?" for x in text), error.end
