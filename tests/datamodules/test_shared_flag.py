"""One process alone is the first, however many try at once."""

import copy
import pickle
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier

import torch.multiprocessing as mp

from datamodules.shared_flag import SharedFlag

FLAGS = [SharedFlag() for _ in range(200)]


def _wait_at(barrier: Barrier) -> None:
    globals()["_barrier"] = barrier


def _try_all(_: int) -> list[bool]:
    globals()["_barrier"].wait()
    return [flag.set_first() for flag in FLAGS]


def test_one_process_is_the_first() -> None:
    context = mp.get_context("fork")
    with Pool(4, _wait_at, (context.Barrier(4),), context=context) as pool:
        firsts = pool.map(_try_all, range(4), chunksize=1)
    assert [sum(of_flag) for of_flag in zip(*firsts, strict=True)] == [1] * len(FLAGS)
    assert all(FLAGS)


def test_goes_along_with_a_data_module_that_is_copied() -> None:
    flag = SharedFlag()
    assert flag.set_first()
    assert bool(copy.deepcopy(flag)) and not SharedFlag()
    assert bool(pickle.loads(pickle.dumps(flag)))
