"""Processes that load data: what ends a training reaches them too, and it still needs them."""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

from lightning.fabric.utilities.seed import pl_worker_init_function
from torch.utils.data import DataLoader


class SignalSafeDataLoader(DataLoader):
    """A `DataLoader` whose processes begin with SIGTERM, SIGUSR1 and SIGUSR2 held back.

    `begin_worker` then takes them up in the process. It can hold back a signal in its own thread
    only, while libraries start others as they are imported, which a spawned process does before:
    they inherit what is held back from here. Not so those of Python's fork server, which would
    hand it on to processes of others as well.
    """

    def __iter__(self) -> Any:
        """Start the processes, or let those that persist begin anew."""
        if sys.platform != "linux" or not self.num_workers:
            return super().__iter__()
        # Asking settles it for the whole program, as starting a process does.
        method = (self.multiprocessing_context or multiprocessing).get_start_method()
        if method == "forkserver":
            return super().__iter__()
        if method == "spawn":
            # Python starts this process with the first one that needs it, and then lets SIGTERM in.
            resource_tracker.ensure_running()
        signals = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(worker: int) -> None:
    """Let a data-loading process end with its training only.

    It is the `worker_init_fn` of a `SignalSafeDataLoader`. Slurm sends what stops a job to all of
    its processes, and a training without its workers could neither finish its step nor save. Only
    on Linux, where Slurm runs, does a process learn who sent a signal.
    """
    if sys.platform == "linux":
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_IGN)
        # The training itself ends by SIGTERM a worker that does not come to its end.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        training = multiprocessing.parent_process()
        assert training is not None, "this is no data-loading process"
        threading.Thread(target=_end_with_training, args=(training,), daemon=True).start()
    if os.environ.get("PL_SEED_WORKERS") == "1":  # which Lightning does where there is no function
        pl_worker_init_function(worker)


def _end_with_training(training: BaseProcess) -> None:
    # Torch takes whoever is the parent when a worker is ready for its training, and would wait for
    # ever where that has died before.
    while training.is_alive():
        received = signal.sigtimedwait({signal.SIGTERM}, 2)
        if received is not None and received.si_pid == training.pid:
            break
    os._exit(0)
