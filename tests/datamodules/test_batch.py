import torch

from datamodules import collate


def test_masks_of_different_sizes_stay_apart():
    items = [
        {
            "rgb": torch.full((3, 4, 4), float(number)),
            "mask": torch.ones(1, 4, 4),
            "ground_truth": torch.ones(1, *size, dtype=torch.bool),
            "original_size": size,
            "name": str(number),
        }
        for number, size in enumerate([(5, 6), (7, 8)])
    ]
    batch = collate(items)
    assert batch["rgb"].shape == (2, 3, 4, 4)
    assert batch["rgb"][:, 0, 0, 0].tolist() == [0.0, 1.0]
    assert batch["mask"].shape == (2, 1, 4, 4)
    assert [mask.shape for mask in batch["ground_truth"]] == [(1, 5, 6), (1, 7, 8)]
    assert batch["original_size"] == [(5, 6), (7, 8)]
    assert batch["name"] == ["0", "1"]


def test_no_ground_truth_no_mask():
    item = {"rgb": torch.zeros(3, 4, 4), "name": "a", "original_size": (4, 4)}
    assert set(collate([item])) == {"rgb", "name", "original_size"}


def test_ground_truths_of_one_size_stay_a_list():
    item = {"ground_truth": torch.ones(1, 4, 4, dtype=torch.bool)}
    assert isinstance(collate([item, item])["ground_truth"], list)
