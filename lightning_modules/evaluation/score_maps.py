"""Score sets of saliency maps, several images at a time."""

import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from lightning_modules.evaluation.map_files import MapSet, read_pair
from lightning_modules.metrics import PairHistograms, PerImageScores
from lightning_modules.metrics.per_image_values import per_image_values
from mutualformer.errors import UserError

# Of pairs that are counted together: enough that small operations cost little beside the pixels,
# few enough that large images fit into memory.
_CHUNK_SIZE = 8

# The name of a data set, and of some of its pairs: stem, prediction, ground truth.
Chunk = tuple[str, list[tuple[str, Path, Path]]]


def score_maps(
    map_sets: Sequence[MapSet], device: torch.device, num_workers: int
) -> PerImageScores:
    """Score every pair of all sets, with a progress bar on standard error.

    Images are counted in the same groups whatever the number of workers, so that the scores do not
    depend on it.

    Args:
        map_sets: the sets.
        device: where pixels are counted; weighted F is computed on the CPU anyway.
        num_workers: processes that read and score (threads if the device is not the CPU); with 0,
            this one does it.

    Returns:
        The scores of all images, in the order of the sets.

    Raises:
        DataError: a file cannot be scored.
    """
    chunks = [
        (map_set.name, map_set.pairs[start : start + _CHUNK_SIZE])
        for map_set in map_sets
        for start in range(0, len(map_set.pairs), _CHUNK_SIZE)
    ]
    num_pairs = sum(len(pairs) for _, pairs in chunks)
    parts = []
    with _executor(device, num_workers) as executor:
        # Before the progress bar, whose thread must not be copied into worker processes.
        results = (
            map(pickle.loads, executor.map(partial(_score_pickled, device=device), chunks))
            if executor
            else map(partial(_score, device=device), chunks)
        )
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("Scoring", total=num_pairs)
            for part in results:
                parts.append(part)
                progress.advance(task, len(part))
    return PerImageScores.concatenate(parts)


def find_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        ValueError: there is none here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # torch raises the last two for a device that its build does not support.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--device {name}: no such device here ({reason}), expected one of torch: try cpu"
        ) from error
    return device


def _score(chunk: Chunk, device: torch.device) -> PerImageScores:
    dataset, pairs = chunk
    read = [read_pair(prediction, ground_truth) for _, prediction, ground_truth in pairs]
    histograms = PairHistograms.from_pairs(
        [prediction.to(device) for prediction, _ in read], [mask.to(device) for _, mask in read]
    )
    values = per_image_values(histograms)
    return PerImageScores.from_values(dataset, [stem for stem, _, _ in pairs], histograms, values)


def _score_pickled(chunk: Chunk, device: torch.device) -> bytes:
    # As bytes: torch would pass every tensor between processes as an open file of its own.
    return pickle.dumps(_score(chunk, device))


@contextmanager
def _executor(device: torch.device, num_workers: int) -> Iterator[Executor | None]:
    if num_workers == 0:
        yield None
        return
    executor: Executor
    if device.type == "cpu":
        # One thread each: workers are the parallelism.
        executor = ProcessPoolExecutor(
            num_workers, initializer=torch.set_num_threads, initargs=(1,)
        )
    else:
        executor = ThreadPoolExecutor(num_workers)
    try:
        yield executor
    finally:
        # After a bad file, nobody waits for the rest of the images.
        executor.shutdown(cancel_futures=True)
