"""The order of training samples and the random numbers of each, whatever reads them."""

import random
from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, DistributedSampler

from datamodules.batch import Batch
from mutualformer.errors import UserError


class TrainingOrder(DistributedSampler[tuple[int, int]]):
    """Shuffle anew in every epoch; yield `(epoch, index)`.

    The order depends on seed and epoch alone. Batch number k of all processes together is the same
    set of samples whatever their number, as long as `batch_size * num_processes` is: process r
    takes the r-th part of it. An incomplete last batch is dropped unless it is the only one.

    It is a `DistributedSampler` because Lightning replaces every other sampler when it runs on
    several processes, and calls `set_epoch`.

    Args:
        num_samples: length of the data set, at least 1.
        batch_size: samples per batch and process.
        seed: seed of the order.
        rank: number of this process.
        num_processes: how many there are.

    Raises:
        ValueError: there are fewer samples than processes.

    >>> list(TrainingOrder(4, batch_size=2, seed=0))
    [(0, 3), (0, 0), (0, 2), (0, 1)]
    >>> [list(TrainingOrder(4, 1, seed=0, rank=rank, num_processes=2)) for rank in (0, 1)]
    [[(0, 3), (0, 2)], [(0, 0), (0, 1)]]
    """

    def __init__(
        self, num_samples: int, batch_size: int, seed: int, rank: int = 0, num_processes: int = 1
    ) -> None:
        if num_samples < num_processes:
            raise UserError(
                f"{num_samples} training sample(s) for {num_processes} processes, expected at "
                f"least one each: use --trainer.devices={num_samples} or add samples"
            )
        super().__init__(range(num_samples), num_processes, rank, seed=seed)  # type: ignore[arg-type]
        self.batch_size = min(batch_size, num_samples // num_processes)
        self.num_batches = num_samples // (self.batch_size * num_processes)
        self._resumed_epoch = 0
        self._num_batches_done = 0

    def resume(self, epoch: int, num_batches_done: int) -> None:
        """Start in the middle of an epoch; the next ones are whole again."""
        self.set_epoch(epoch)
        self._resumed_epoch = epoch
        self._num_batches_done = num_batches_done

    def __len__(self) -> int:
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(mix_seeds(self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator)  # type: ignore[arg-type]
        used = order[: self.num_batches * self.batch_size * self.num_replicas]
        own = used.view(self.num_batches, self.num_replicas, self.batch_size)[:, self.rank]
        if self.epoch == self._resumed_epoch:
            own = own[self._num_batches_done :]
        return ((self.epoch, index) for index in own.flatten().tolist())


class SeededDataset(Dataset[Batch]):
    """Give every sample of every epoch random numbers of its own.

    Items are asked for as `(epoch, index)`. What the data set draws from torch's global generator
    is the same in any process or worker and at any time, and nothing outside notices. Samplers of
    torch ask by the index alone, and get what the first epoch has: so `overfit_batches` has the
    same batches in every epoch.

    Args:
        dataset: draws from torch's global generator, if at all.
        seed: together with epoch and index, decides the random numbers.
    """

    def __init__(self, dataset: Dataset[Batch], seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, item: tuple[int, int] | int) -> Batch:
        epoch, index = item if isinstance(item, tuple) else (0, item)
        num_threads = torch.get_num_threads()
        # Sums over an image, as for its contrast, round differently with the number of threads,
        # which is 1 in a worker.
        torch.set_num_threads(1)
        try:
            with torch.random.fork_rng(devices=[]):
                # Not torch.manual_seed, which takes half a millisecond and seeds GPUs too.
                torch.default_generator.manual_seed(mix_seeds(self.seed, epoch, index))
                return self.dataset[index]
        finally:
            torch.set_num_threads(num_threads)


def mix_seeds(*numbers: int) -> int:
    """Hash integers into one seed; neighbouring integers give unrelated seeds.

    >>> mix_seeds(0, 0) != mix_seeds(1, 1)
    True
    """
    return random.Random(str(numbers)).getrandbits(63)
