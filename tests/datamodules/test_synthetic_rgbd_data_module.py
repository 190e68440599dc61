import pytest
import torch

from datamodules import SyntheticRGBDDataModule, SyntheticRGBDDataset


def small_module(**arguments):
    return SyntheticRGBDDataModule(
        **{"image_size": 32, "num_train": 10, "num_val": 3, "num_test": 5, "batch_size": 4}
        | arguments
    )


def test_items_follow_the_batch_contract():
    item = SyntheticRGBDDataset(3, split="test", image_size=48)[1]
    assert item["rgb"].shape == (3, 48, 48) and item["rgb"].dtype == torch.float32
    assert item["depth"].shape == (1, 48, 48) and item["depth"].dtype == torch.float32
    assert item["mask"].dtype == torch.float32
    assert set(item["mask"].unique().tolist()) == {0.0, 1.0}
    assert item["ground_truth"].dtype == torch.bool
    assert torch.equal(item["ground_truth"].float(), item["mask"])
    assert item["original_size"] == (48, 48)
    assert (item["name"], item["dataset"]) == ("test_00001", "synthetic")


def test_a_scene_does_not_depend_on_the_number_of_scenes():
    few, many = SyntheticRGBDDataset(3, image_size=32), SyntheticRGBDDataset(30, image_size=32)
    assert torch.equal(few[2]["rgb"], many[2]["rgb"])


def test_length_ends_iteration():
    assert len(list(SyntheticRGBDDataset(3, image_size=32))) == 3


def test_batches_name_their_dataset():
    module = small_module(eval_batch_size=5)
    assert next(iter(module.train_dataloader()))["dataset"] == ["synthetic"] * 4
    assert next(iter(module.val_dataloader()))["dataset"] == ["held_out"] * 3
    (test_loader,) = module.test_dataloader()
    batch = next(iter(test_loader))
    assert batch["dataset"] == ["synthetic"] * 5
    assert batch["name"] == [f"test_{index:05d}" for index in range(5)]
    assert next(iter(module.predict_dataloader()))["name"] == batch["name"]


def test_workers_do_not_change_the_batches():
    alone, with_workers = (
        [batch for loader in module.test_dataloader() for batch in loader]
        for module in (small_module(), small_module(num_workers=2))
    )
    for one, other in zip(alone, with_workers, strict=True):
        assert one["name"] == other["name"]
        assert torch.equal(one["rgb"], other["rgb"]) and torch.equal(one["mask"], other["mask"])


def training_order(module):
    loader = module.train_dataloader()
    orders = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        orders.append([name for batch in loader for name in batch["name"]])
    return orders


def test_training_order_follows_the_seeds_and_nothing_else(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    first = training_order(small_module())
    torch.rand(5)
    assert first == training_order(small_module())
    assert first[0] != first[1]
    assert first[0] != sorted(first[0])
    assert first != training_order(small_module(seed=1))
    monkeypatch.setenv("PL_GLOBAL_SEED", "2")
    assert first != training_order(small_module())


def test_training_drops_an_incomplete_batch_only_if_there_is_another():
    assert [len(batch["name"]) for batch in small_module().train_dataloader()] == [4, 4]
    few = small_module(num_train=3)
    assert [len(batch["name"]) for batch in few.train_dataloader()] == [3]


def test_no_validation_scenes_no_validation_loader():
    assert small_module(num_val=0).val_dataloader() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(batch_size=0), "batch_size is 0, expected at least 1"),
        (dict(eval_batch_size=0), "eval_batch_size is 0"),
        (dict(num_workers=-1), "num_workers is -1, expected at least 0"),
        (dict(seed=-1), "seed is -1"),
        (dict(num_train=0), "num_train is 0"),
        (dict(difficulty=2.0), "difficulty is 2.0"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_module(**arguments)


@pytest.fixture
def two_processes(monkeypatch):
    """Make torch.distributed say that this is process 1 of 2."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda *_: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda *_: 1)


def test_processes_share_evaluation_samples_without_repeating_any(two_processes):
    (loader,) = small_module().test_dataloader()
    names = [name for batch in loader for name in batch["name"]]
    assert names == ["test_00001", "test_00003"]


def test_more_processes_than_evaluation_samples_is_an_error(two_processes):
    with pytest.raises(ValueError, match="1 evaluation sample.* for 2 processes"):
        small_module(num_val=1).val_dataloader()
