"""Tell faults of the machine during training or evaluation from defects of the program."""

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CONTINUE = "The same command continues from the last checkpoint"
_MAKE_ROOM = "Make room; files written before are as they were"
_ELSEWHERE = "Make the folder writable, or choose another with --trainer.default_root_dir"
_WRITE_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _MAKE_ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR), _ELSEWHERE),
}
# The first of the GPU, the others of the CPU.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED")
_LESS_MEMORY = (
    "To train with less: lower --data.batch_size and raise --trainer.accumulate_grad_batches by as "
    "much, lower --data.image_size, leave the smallest stride out of "
    "--model.network.fusion_strides, or give --trainer.precision=bf16-mixed. In validation, test "
    "and prediction, lower --data.eval_batch_size. A run continues with other settings if it is "
    "given its checkpoint with --ckpt_path"
)
_SHARED_MEMORY = re.compile(r"Bus error|unable to (open|write|mmap).*/torch_")
_LESS_SHARED_MEMORY = (
    "Lower --data.num_workers (0 needs none), or give the container more, as with docker run "
    f"--shm-size. {_CONTINUE}"
)
_WORKER_ENDED = re.compile(r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)")
_WORKER_ADVICE = (
    "a process that loads data was ended from outside, mostly because memory ran out. If it "
    "happens again, lower --data.num_workers or --data.batch_size"
)
_PROCESS_LOST = re.compile(
    r"Connection (closed|reset) by peer|Broken pipe|Socket (closed|Timeout)|remote process exited"
)
_PROCESS_ADVICE = (
    "another process of this run has ended, and no further step is possible without it: what it "
    "printed, if anything, says why"
)


def find_fault(error: BaseException | None) -> tuple[str, int] | None:
    """Return what to tell of a fault of the machine that led to an exception, and the exit code.

    Args:
        error: the exception; its causes are searched too.

    Returns:
        The message and 2 if something has to be done first (make room, use less memory), 1 if the
        same command may well succeed now (a process was killed); None if it is no such fault.

    >>> find_fault(OSError(errno.ENOSPC, "No space left on device", "runs/a/results.json"))[1]
    2
    >>> find_fault(RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. "))[1]
    1
    >>> find_fault(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    True
    """
    while error is not None:
        text = str(error)
        if isinstance(error, OSError) and error.errno in _WRITE_ERRORS:
            what = error.filename or "a file of the run"
            return f"{what}: {error.strerror}. {_WRITE_ERRORS[error.errno]}. {_CONTINUE}", 2
        if isinstance(error, MemoryError | RuntimeError):
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
                return f"out of memory ({_first_line(text)}). {_LESS_MEMORY}", 2
            if _SHARED_MEMORY.search(text):
                return f"shared memory is full ({_first_line(text)}). {_LESS_SHARED_MEMORY}", 2
            if _WORKER_ENDED.search(text):
                return f"{_first_line(text)}: {_WORKER_ADVICE}. {_CONTINUE}", 1
            if _PROCESS_LOST.search(text):
                return f"{_PROCESS_ADVICE} ({_first_line(text)}). {_CONTINUE}", 1
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def exit_on_fault() -> Iterator[None]:
    """Print a fault of the machine as ``error: …`` and exit; let everything else through."""
    try:
        yield
    except Exception as error:
        fault = find_fault(error)
        if fault is None or os.environ.get("MUTUALFORMER_TRACEBACK"):
            raise
        message, exit_code = fault
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(exit_code) from None


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(". ")[:200] if text.strip() else "no details"
