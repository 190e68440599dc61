"""Notice that another process of a run does not answer any more, such as that of a lost machine."""

import os
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch.distributed import TCPStore

from lightning_modules.cli.errors import lost_process
from mutualformer.errors import UserError

_BEATS_PER_LIMIT = 12
_LONGEST = 1e9  # seconds that a thread can wait; more is for ever, as it is


class PeerWatch(Callback):
    """End a process whose others do not answer: the backend would wait for half an hour or more.

    Each process counts, in a thread, on the store that they met at; the first one looks after all
    others, and they after it. One that is busy counts on, however long its step takes, so that only
    a machine, a network or a process that is gone is noticed. A killed process whose machine lives
    is noticed sooner, by the backend.

    Args:
        limit: seconds without an answer after which a process counts as lost; ``inf``: none.

    Raises:
        UserError: ``limit`` is not positive.
    """

    def __init__(self, limit: float = 60) -> None:
        if not limit > 0:
            raise UserError(f"peers.limit is {limit}, expected more than 0 seconds")
        self.limit = min(limit, _LONGEST)
        self._has_ended: threading.Event | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the threads out of a copy, such as that of a model to test with its trainer."""
        return self.__dict__ | {"_has_ended": None}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin, once all processes are here, and have the store: none is waited for before."""
        if trainer.world_size == 1 or "MASTER_PORT" not in os.environ:
            return
        store = _connect(self.limit)
        all_have = trainer.strategy.reduce_boolean_decision(store is not None, all=True)
        if store is None or not all_have:
            rank_zero_warn("--peers.limit does nothing here: the processes share no store")
            return
        rank = trainer.global_rank
        others = range(1, trainer.world_size) if rank == 0 else [0]
        watch = _Watch(store, rank, others, self.limit)
        self._has_ended = watch.has_ended
        # Two, since the first may itself wait for an answer that does not come.
        for target in (watch.exchange, watch.judge):
            threading.Thread(target=target, daemon=True).start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """End in all processes alike: one that is done does not answer."""
        if self._has_ended is not None:
            trainer.strategy.barrier()
            self._has_ended.set()

    def on_exception(self, *_: object) -> None:
        """Leave it to whoever handles it."""
        if self._has_ended is not None:
            self._has_ended.set()


class _Watch:
    """What one process knows of others.

    Time is counted in beats that this process has seen: one that was suspended has seen none, and
    takes nobody for lost.
    """

    def __init__(self, store: TCPStore, rank: int, others: range | list[int], limit: float) -> None:
        self._store = store
        self._rank = rank
        self._limit = limit
        self._pause = limit / _BEATS_PER_LIMIT
        self._silent_beats = dict.fromkeys(others, 0)
        self.has_ended = threading.Event()

    def exchange(self) -> None:
        """Count, and see how far others have counted, until the end or the loss of the store."""
        seen: dict[int, bytes | None] = {}
        beat = 0
        with suppress(RuntimeError):  # the store is lost, with the process or machine that has it
            while not self.has_ended.wait(self._pause):
                beat += 1
                self._store.set(_key(self._rank), str(beat))
                for other in self._silent_beats:
                    key = _key(other)
                    count = self._store.get(key) if self._store.check([key]) else None
                    if count != seen.get(other):
                        seen[other] = count
                        self._silent_beats[other] = 0

    def judge(self) -> None:
        """End this process once another has been silent for too long."""
        while not self.has_ended.wait(self._pause):
            for other in self._silent_beats:
                self._silent_beats[other] += 1
                if self._silent_beats[other] > _BEATS_PER_LIMIT:
                    self._end(other)

    def _end(self, other: int) -> None:
        # The main thread is in the middle of a step that nobody can complete, in no Python code.
        told = lost_process(f"process {other} has not answered for {self._limit:g} s")
        print(f"error: {told.message}", file=sys.stderr, flush=True)
        os._exit(told.exit_code)


def _connect(limit: float) -> TCPStore | None:
    """Return a connection of our own to the store that the processes met at; None if it is none."""
    with suppress(RuntimeError):
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(address, port, timeout=timedelta(seconds=limit))
    return None


def _key(rank: int) -> str:
    return f"mutualformer/alive/{rank}"
