"""When another process of a run counts as lost; with real machines in runs/test_two_machines.py."""

import copy
import threading
import time
from collections.abc import Iterator

import pytest
from torch.distributed import TCPStore

from lightning_modules.callbacks import PeerWatch
from lightning_modules.callbacks.peer_watch import _connect, _Watch
from mutualformer.errors import UserError

LIMIT = 0.9


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> TCPStore:
    """Where processes meet."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    return store


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Which process found which other one lost."""
    found: list[tuple[int, int]] = []

    def note(watch: _Watch, other: int) -> None:
        found.append((watch._rank, other))
        watch.has_ended.set()

    monkeypatch.setattr(_Watch, "_end", note)
    yield found


def start(rank: int, others: list[int]) -> _Watch:
    store = _connect(LIMIT)
    assert store is not None
    watch = _Watch(store, rank, others, LIMIT)
    for target in (watch.exchange, watch.judge):
        threading.Thread(target=target, daemon=True).start()
    return watch


def test_who_counts_on_is_there_however_long_a_step_takes(
    store: TCPStore, lost: list[tuple[int, int]]
) -> None:
    watches = [start(0, [1, 2]), start(1, [0]), start(2, [0])]
    time.sleep(3 * LIMIT)
    assert lost == []
    watches[2].has_ended.set()  # as if it were gone
    time.sleep(4 * LIMIT)
    assert lost[0] == (0, 2)
    assert (1, 0) in lost  # since the first one has ended, too
    for watch in watches:
        watch.has_ended.set()


def test_a_store_that_is_gone_is_noticed(
    monkeypatch: pytest.MonkeyPatch, lost: list[tuple[int, int]]
) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    start(1, [0])
    del store
    time.sleep(2 * LIMIT)
    assert lost == [(1, 0)]


@pytest.mark.parametrize(("has_store", "others_have"), [(False, True), (True, False), (True, True)])
def test_nobody_is_watched_unless_all_can_answer(
    has_store: bool,
    others_have: bool,
    store: TCPStore,
    lost: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not where the processes have met elsewhere; and what nobody knows is said."""
    asked = []

    class Trainer:
        world_size, global_rank = 2, 0

        class strategy:  # noqa: N801, as Lightning names it
            @staticmethod
            def reduce_boolean_decision(decision: bool, all: bool) -> bool:
                asked.append((decision, all))
                return decision and others_have

    if not has_store:
        monkeypatch.setenv("MASTER_PORT", "9")  # where nobody is
    watching = PeerWatch(LIMIT)
    if has_store and others_have:
        watching.setup(Trainer, None, "fit")  # type: ignore[arg-type]
        time.sleep(2 * LIMIT)
        assert lost == [(0, 1)]  # of which it has never heard
    else:
        with pytest.warns(UserWarning, match="--peers.limit does nothing here"):
            watching.setup(Trainer, None, "fit")  # type: ignore[arg-type]
        assert watching._has_ended is None
    assert asked == [(has_store, True)]


def test_a_copy_has_no_threads() -> None:
    watching = PeerWatch(5)
    watching._has_ended = threading.Event()
    other = copy.deepcopy(watching)
    assert (other.limit, other._has_ended) == (5, None)
    other.on_exception()
    assert not watching._has_ended.is_set()


def test_no_limit_is_a_limit_that_is_never_reached(
    store: TCPStore, lost: list[tuple[int, int]]
) -> None:
    limit = PeerWatch(float("inf")).limit
    connected = _connect(limit)
    assert connected is not None
    watch = _Watch(connected, 0, [1], limit)
    threads = [threading.Thread(target=x, daemon=True) for x in (watch.exchange, watch.judge)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in threads)
    watch.has_ended.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert lost == []


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(UserError, match="peers.limit is"):
        PeerWatch(limit)
