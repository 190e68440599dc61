"""Order and random numbers of training samples: the same in any process, worker and position."""

import multiprocessing

import pytest
import torch
import torch.distributed
from torch.utils.data import Dataset

from datamodules import SyntheticRGBDDataModule
from datamodules.training_order import SeededDataset, TrainingOrder


def epoch_of(order: TrainingOrder, epoch: int) -> list[tuple[int, int]]:
    order.set_epoch(epoch)
    return list(order)


@pytest.mark.parametrize("num_samples", [8, 11, 15])
def test_two_processes_share_the_batches_of_one(num_samples):
    alone = TrainingOrder(num_samples, batch_size=4, seed=3)
    parts = [TrainingOrder(num_samples, 2, seed=3, rank=r, num_processes=2) for r in (0, 1)]
    assert len(alone) == len(parts[0]) * 2 == len(parts[1]) * 2 == num_samples // 4 * 4
    for epoch in (0, 1, 7):
        one = epoch_of(alone, epoch)
        two = [epoch_of(part, epoch) for part in parts]
        assert len(one) == len(alone) and len(two[0]) == len(parts[0])
        for batch in range(num_samples // 4):
            shared = [
                *two[0][2 * batch : 2 * batch + 2],
                *two[1][2 * batch : 2 * batch + 2],
            ]
            assert shared == one[4 * batch : 4 * batch + 4]


def test_an_epoch_visits_every_sample_once_in_its_own_order():
    order = TrainingOrder(32, batch_size=4, seed=0)
    first, second = epoch_of(order, 0), epoch_of(order, 1)
    for epoch, visited in enumerate((first, second)):
        assert sorted(visited) == [(epoch, index) for index in range(32)]
    assert [index for _, index in first] != [index for _, index in second]
    assert epoch_of(order, 0) == first
    assert epoch_of(TrainingOrder(32, batch_size=4, seed=1), 0) != first


def test_few_samples_make_one_batch():
    assert len(TrainingOrder(3, batch_size=16, seed=0)) == 3
    parts = [TrainingOrder(5, 16, seed=0, rank=rank, num_processes=2) for rank in (0, 1)]
    assert [part.batch_size for part in parts] == [2, 2]
    assert not set(parts[0]) & set(parts[1])
    with pytest.raises(ValueError, match="1 training sample.* for 2 processes, expected at least"):
        TrainingOrder(1, 1, seed=0, rank=0, num_processes=2)


def test_a_resumed_epoch_is_the_rest_of_it():
    whole, resumed = (TrainingOrder(11, batch_size=2, seed=0) for _ in range(2))
    resumed.resume(epoch=3, num_batches_done=2)
    assert list(resumed) == epoch_of(whole, 3)[4:]
    assert epoch_of(resumed, 3) == epoch_of(whole, 3)[4:]  # the trainer sets the epoch, too
    assert epoch_of(resumed, 4) == epoch_of(whole, 4)


class RandomNumbers(Dataset):
    def __getitem__(self, index):
        return torch.rand(2)


def test_every_sample_of_every_epoch_has_its_own_numbers():
    dataset = SeededDataset(RandomNumbers(), seed=0)
    keys = [(epoch, index) for epoch in range(10) for index in range(10)]
    numbers = [tuple(dataset[key].tolist()) for key in keys]
    assert len(set(numbers)) == len(keys)
    torch.manual_seed(99)
    outside = torch.rand(1)
    torch.manual_seed(99)
    assert [tuple(dataset[key].tolist()) for key in reversed(keys)] == numbers[::-1]
    assert torch.equal(torch.rand(1), outside)
    assert tuple(SeededDataset(RandomNumbers(), seed=1)[0, 0].tolist()) != numbers[0]


class Contrast(Dataset):
    """As the jitter of contrast does, it sums over an image."""

    def __getitem__(self, index):
        return torch.rand(3, 400, 400).mean()


def test_the_number_of_threads_does_not_change_a_sample():
    samples = []
    for num_threads in (1, 2):
        torch.set_num_threads(num_threads)
        dataset = SeededDataset(Contrast(), seed=0)
        samples.append(torch.stack([dataset[0, index] for index in range(20)]))
        assert torch.get_num_threads() == num_threads
    torch.set_num_threads(1)
    assert torch.equal(*samples)


def augmented(folders, **arguments):
    from datamodules import RGBDSaliencyDataModule

    module = RGBDSaliencyDataModule(
        **{"root": str(folders.root), "train_sets": ["NLPR"], "image_size": 32, "batch_size": 2}
        | arguments
    )
    module.setup("fit")
    loader = module.train_dataloader()
    batches = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        batches += list(loader)
    return batches


def test_workers_do_not_change_augmented_batches(folders):
    folders.add(stems=tuple("abcdefgh"))
    alone, with_workers = augmented(folders, num_workers=0), augmented(folders, num_workers=4)
    assert len(alone) == len(with_workers) >= 6
    for one, other in zip(alone, with_workers, strict=True):
        assert one["name"] == other["name"]
        for key in ("rgb", "depth", "mask"):
            assert torch.equal(one[key], other[key])
    sample = {
        name: image for batch in alone for name, image in zip(batch["name"], batch["rgb"], strict=1)
    }
    again = next(batch for batch in alone if batch["name"][0] in sample)
    assert not torch.equal(again["rgb"][0], sample[again["name"][0]])  # another epoch, other crop


def test_the_loader_takes_its_part_of_each_batch(monkeypatch):
    def names(rank: int, num_processes: int, batch_size: int) -> list[list[str]]:
        monkeypatch.setattr(
            "datamodules.paired_modality_data_module._rank_and_num_processes",
            lambda: (rank, num_processes),
        )
        module = SyntheticRGBDDataModule(32, num_train=9, batch_size=batch_size)
        return [batch["name"] for batch in module.train_dataloader()]

    torch.manual_seed(0)
    whole = names(0, 1, 4)
    parts = [names(rank, 2, 2) for rank in (0, 1)]
    assert whole == [[*first, *second] for first, second in zip(*parts, strict=True)]


def _augmented_in_a_process(rank, folders, store, results):
    torch.set_num_threads(1 + rank)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    try:
        torch.save(augmented(folders, num_workers=4 * rank), results / f"{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def test_two_processes_share_the_augmented_samples_of_one(folders, tmp_path):
    """The first loads in its own process, the second with workers and more threads."""
    folders.add(stems=tuple("abcdefgh"))
    alone = augmented(folders, batch_size=4, num_workers=0)
    context = multiprocessing.get_context("fork")
    arguments = (folders, tmp_path / "store", tmp_path)
    started = [
        context.Process(target=_augmented_in_a_process, args=(rank, *arguments)) for rank in (0, 1)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=60)
        assert process.exitcode == 0
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert len(alone) == len(parts[0]) == len(parts[1]) == 2
    for whole, first, second in zip(alone, *parts, strict=True):
        assert whole["name"] == [*first["name"], *second["name"]]
        for key in ("rgb", "depth", "mask"):
            assert torch.equal(whole[key], torch.cat([first[key], second[key]]))


def test_the_seed_of_the_run_changes_the_augmented_samples(folders, monkeypatch):
    folders.add(stems=tuple("abcd"))
    batches = {}
    for seed in ("1", "1 again", "2"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed[0])
        for batch in augmented(folders, num_workers=0, validation_fraction=0.0):
            for name, depth in zip(batch["name"], batch["depth"], strict=True):
                batches.setdefault((seed, name), depth)
    assert len(batches) == 12
    for name in "abcd":
        assert torch.equal(batches["1", name], batches["1 again", name])
        assert not torch.equal(batches["1", name], batches["2", name])
