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
from lightning_modules.metrics.saliency_scores import per_image_values
from mutualformer.errors import UserError


def score_maps(
    map_sets: Sequence[MapSet], device: torch.device, num_workers: int
) -> PerImageScores:
    """Score every pair of all sets, with a progress bar on standard error.

    Every image is scored alone, so the scores do not depend on the number of workers.

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
    jobs = [(map_set.name, *pair) for map_set in map_sets for pair in map_set.pairs]
    score = partial(_score_pickled, device=device)
    with _executor(device, num_workers) as executor:
        # Before the progress bar, whose thread must not be copied into worker processes.
        results = executor.map(score, jobs) if executor else map(score, jobs)
        with Progress(console=Console(stderr=True)) as progress:
            parts = [
                pickle.loads(part)
                for part in progress.track(results, total=len(jobs), description="Scoring")
            ]
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


def _score_pickled(job: tuple[str, str, Path, Path], device: torch.device) -> bytes:
    dataset, name, *paths = job
    prediction, mask = read_pair(*paths)
    histograms = PairHistograms.from_pairs([prediction.to(device)], [mask.to(device)])
    values = per_image_values(histograms)
    # As bytes: torch would pass every tensor between processes as an open file of its own.
    return pickle.dumps(PerImageScores.from_values(dataset, [name], histograms, values))


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
