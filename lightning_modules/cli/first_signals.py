"""What a signal does to a training that has not begun: it ends at once, and its job comes back."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_modules.runs.slurm import STOP_SIGNALS, queue_again_after

_RANKS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
_LEFT_TO_US = 0x80  # added to the number of a signal that the main thread has given to our handler
_before: dict[signal.Signals, Any] = {}  # the handlers in whose place ours are; empty outside


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within this context, what Slurm sends ends the process, and has it queued again if need be.

    Python's handlers wait for the main thread, which may be waiting for another machine; so a
    thread acts. Whoever can do better meanwhile, as `StopSignals` can, sets handlers of its own.
    Nothing here waits for the thread, nor for children that have inherited its pipe: it ends when
    the last of them has.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    receiving, sending = os.pipe()
    os.set_blocking(sending, False)

    def leave_to_thread(signum: int, _frame: object) -> None:
        os.write(sending, bytes([signum | _LEFT_TO_US]))

    threading.Thread(target=_watch, args=(receiving,), daemon=True).start()
    former_fd = signal.set_wakeup_fd(sending, warn_on_full_buffer=False)
    _before.update({signum: signal.signal(signum, leave_to_thread) for signum in STOP_SIGNALS})
    try:
        yield
    finally:
        for signum, handler in _before.items():
            signal.signal(signum, handler)
        _before.clear()
        signal.set_wakeup_fd(former_fd)
        os.close(sending)


def _let_child_go() -> None:
    """Let a forked child be as one that was not: its signals are neither ours nor its parent's."""
    if _before:
        signal.set_wakeup_fd(-1)
        for signum, handler in _before.items():
            if _nobody_else_listens(signum):
                # The others tell all processes of a job what only the first one is to act on.
                is_for_it = signum == signal.SIGTERM
                signal.signal(signum, handler if is_for_it else signal.SIG_IGN)


os.register_at_fork(after_in_child=_let_child_go)


def _watch(receiving: int) -> None:
    while number := os.read(receiving, 1):
        signum = number[0] & ~_LEFT_TO_US
        if signum in STOP_SIGNALS and (number[0] & _LEFT_TO_US or _nobody_else_listens(signum)):
            _end(signum)
    os.close(receiving)


def _nobody_else_listens(signum: int) -> bool:
    """Tell whether no training that has begun takes the signal, and no handler of the user's."""
    handler = signal.getsignal(signum)
    # Lightning puts its own around ours until training begins; it waits for the main thread.
    return getattr(handler, "__name__", type(handler).__name__) in (
        "leave_to_thread",
        "_HandlersCompose",
    )


def _end(signum: int) -> None:
    is_first = all(os.environ.get(name, "0") == "0" for name in _RANKS)
    is_queued = is_first and queue_again_after(signum)
    print(f"Stopped by {signal.Signals(signum).name}, nothing is lost", file=sys.stderr, flush=True)
    for path in Path("/proc/self/task").glob("*/children"):  # which wait for this process
        for child in path.read_text().split():
            os.kill(int(child), signal.SIGTERM)
    os._exit(0 if is_queued else 128 + signum)
