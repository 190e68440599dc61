"""What a command says of an exception: the user's mistake, a fault of the machine, or a defect."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from lightning_modules.report.escape import escape_terminal
from mutualformer.errors import UserError
from mutualformer.typed_path import name_too_long

_CONTINUE = "The same command continues from the last checkpoint"
_MAKE_ROOM = "Make room; files written before are as they were"
_ELSEWHERE = "Make the folder writable, or choose another with --trainer.default_root_dir"
_WRITE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _MAKE_ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR), _ELSEWHERE),
}
_LESS_MEMORY = (
    "To train with less: lower --data.batch_size and raise --trainer.accumulate_grad_batches by as "
    "much, lower --data.image_size, leave the smallest stride out of "
    "--model.network.fusion_strides, or give --trainer.precision=bf16-mixed. In validation, test "
    "and prediction, lower --data.eval_batch_size. A run continues with other settings if it is "
    "given its checkpoint with --ckpt_path"
)
_LOST_PROCESS = (
    "another process of this run has ended, and no further step is possible without it",
    f"What it printed, if anything, says why. {_CONTINUE}",
    1,
)
# Faults that torch reports as a RuntimeError, by its words: their start, what to say of them, and
# the exit code. The first pattern has GPU's words first, then the CPU's.
_FAULTS = (
    (
        r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED",
        ("out of memory", _LESS_MEMORY, 2),
    ),
    (
        r"Bus error|unable to (open|write|mmap).*/torch_",
        (
            "shared memory is full",
            "Lower --data.num_workers (0 needs none), or give the container more, as with docker "
            f"run --shm-size. {_CONTINUE}",
            2,
        ),
    ),
    (
        r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)",
        (
            "a process that loads data was ended from outside",
            "Mostly memory ran out: if it happens again, lower --data.num_workers or "
            f"--data.batch_size. {_CONTINUE}",
            1,
        ),
    ),
    (
        r"Connection (closed|reset) by peer|Broken pipe|Socket (closed|Timeout)"
        r"|remote process exited",
        _LOST_PROCESS,
    ),
)
# A mistake that another process told of, at the end of that process' traceback.
_MISTAKE_ELSEWHERE = re.compile(
    r"^Traceback \(most recent call last\):$.*^[\w.]*\b(?:UserError|DataError): (.+)\Z",
    re.MULTILINE | re.DOTALL,
)


class Explanation(NamedTuple):
    """What to tell a user instead of a traceback, and the exit code.

    The code is 2 if something has to be done first, 1 if the same command may well succeed now.
    """

    message: str
    exit_code: int


def explain(error: BaseException | None) -> Explanation | None:
    """Return what to tell of an exception; None for a defect, which shows its traceback.

    A mistake is told by its class, `UserError` or Lightning's for misconfiguration, a fault of the
    machine by its words. Either counts also as the declared cause of another exception, but not
    where something else went wrong while it was being handled.

    >>> explain(UserError("epsilon is 1.0, expected 0 <= epsilon < 1")).exit_code
    2
    >>> explain(OSError(errno.ENOSPC, "No space left on device", "runs/a/results.json")).exit_code
    2
    >>> explain(RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. ")).exit_code
    1
    >>> explain(ValueError("invalid literal for int()")) is None
    True
    """
    while error is not None:
        if isinstance(error, UserError):
            return Explanation(_innermost(str(error)), 2)
        if isinstance(error, _misconfiguration()):
            return Explanation(text_of(error), 2)
        if mistake := _MISTAKE_ELSEWHERE.search(str(error)):
            return Explanation(mistake[1].strip(), 2)
        if isinstance(error, OSError) and error.errno in _WRITE_ERRORS:
            what = error.filename or "a file of the run"
            advice = f"{_WRITE_ERRORS[error.errno]}. {_CONTINUE}"
            return Explanation(f"{what}: {error.strerror}. {advice}", 2)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return Explanation(name_too_long(str(error.filename)), 2)
        if isinstance(error, MemoryError):
            return Explanation(f"out of memory ({_first_line(error)}). {_LESS_MEMORY}", 2)
        if isinstance(error, RuntimeError):
            for pattern, (what, advice, exit_code) in _FAULTS:
                if re.search(pattern, str(error)):
                    return Explanation(f"{what} ({_first_line(error)}). {advice}", exit_code)
        error = error.__cause__
    return None


def lost_process(detail: str) -> Explanation:
    """Return what to tell where another process of a run is lost."""
    what, advice, exit_code = _LOST_PROCESS
    return Explanation(f"{what} ({detail}). {advice}", exit_code)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print what can be explained as ``error: …`` and exit; let defects through.

    MUTUALFORMER_TRACEBACK=1 lets everything through, to show where it was raised.
    """
    try:
        yield
    except Exception as error:
        explanation = explain(error)
        if explanation is None or os.environ.get("MUTUALFORMER_TRACEBACK"):
            raise
        # What a library has half built may fail once more when it is cleaned up.
        sys.unraisablehook = lambda _: None
        print(f"error: {escape_terminal(explanation.message)}", file=sys.stderr)
        raise SystemExit(explanation.exit_code) from None


def text_of(error: BaseException, longest: int | None = None) -> str:
    r"""Return an exception's text in one line, without another process' traceback.

    Its class comes first where the text says little without it.

    >>> text_of(KeyError("SLURM_PROCID")), text_of(ValueError("two\n lines")), text_of(OSError())
    ("KeyError: 'SLURM_PROCID'", 'two lines', 'OSError')
    """
    text = " ".join(_innermost(str(error)).split())
    tells = isinstance(error, ValueError | RuntimeError | ImportError | _misconfiguration())
    if not (tells and text):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return text if longest is None or len(text) <= longest else f"{text[:longest]} …"


def _innermost(text: str) -> str:
    r"""Return what follows a traceback in a text, and the text if there is none.

    >>> _innermost("Caught X.\nTraceback (most recent call last):\n  File …\n    f()\nX: so")
    'X: so'
    """
    if "Traceback (most recent call last):" not in text:
        return text
    lines = text.rstrip().splitlines()
    indented = max(index for index, line in enumerate(lines) if line.startswith("  "))
    return "\n".join(lines[indented + 1 :]) or text


def _misconfiguration() -> type[Exception]:
    """Return Lightning's class of errors about settings, which exists once it is imported."""
    module = sys.modules.get("lightning.fabric.utilities.exceptions")
    return UserError if module is None else module.MisconfigurationException


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(". ")[:200] if text else "no details"
