"""Items, batches, splits and names of RGB-D data sets in folders."""

import pytest
import torch

from datamodules import DataError

from .rgbd_modules import STEMS, items_of, module_for, names_of, set_up


def test_evaluation_batches_hold_ground_truth_at_its_own_size(folders):
    folders.add("NLPR", ("a",), size=(48, 64))
    folders.add("NLPR", ("b",), size=(40, 70))
    module = set_up(folders, "test", test_sets=["NLPR"])
    (loader,) = module.test_dataloader()
    (batch,) = loader
    assert batch["rgb"].shape == (2, 3, 32, 32)
    assert batch["depth"].shape == batch["mask"].shape == (2, 1, 32, 32)
    assert batch["name"] == ["a", "b"] and batch["dataset"] == ["NLPR", "NLPR"]
    assert batch["original_size"] == [(48, 64), (40, 70)]
    assert [mask.shape for mask in batch["ground_truth"]] == [(1, 48, 64), (1, 40, 70)]
    assert batch["ground_truth"][0].dtype == torch.bool
    # The fabricated object: rows 10 to 29, columns 12 to 39.
    assert batch["ground_truth"][0][0].nonzero().amin(0).tolist() == [10, 12]
    assert batch["ground_truth"][0][0].nonzero().amax(0).tolist() == [29, 39]


@pytest.mark.parametrize("augment", [True, False])
def test_training_batches(folders, augment):
    folders.add(stems=STEMS[:5])
    module = set_up(folders, "fit", train_sets=["NLPR"], augment=augment)
    batches = list(module.train_dataloader())
    assert [len(batch["name"]) for batch in batches] == [2, 2]
    assert set(batches[0]) == {"rgb", "depth", "mask", "name", "dataset", "original_size"}
    assert batches[0]["rgb"].shape == (2, 3, 32, 32)
    assert set(batches[0]["mask"].unique().tolist()) == {0.0, 1.0}
    first, again = module.train_dataset[0], module.train_dataset[0]
    assert torch.equal(first["rgb"], again["rgb"]) == (not augment)


def test_object_is_aligned_in_all_modalities(folders):
    folders.add(stems=("a",))
    (item,) = items_of(set_up(folders, "test", test_sets=["NLPR"]).test_datasets[0])
    inside = item["mask"]
    assert item["depth"][inside].min() > item["depth"][~inside].max() - 0.5
    assert item["depth"][inside].mean() > 0.9 > 0.3 > item["depth"][~inside].mean()
    red = item["rgb"][:1] / 255
    assert red[inside].mean() > 0.8 > 0.2 > red[~inside].mean()


def test_no_validation_on_request(folders):
    folders.add(stems=("a",))
    module = set_up(folders, "fit", train_sets=["NLPR"], validation_fraction=0.0)
    assert len(module.train_dataset) == 1
    assert module.val_dataset is None and module.val_dataloader() == []


def test_single_training_sample_cannot_be_split(folders):
    folders.add(stems=("a",))
    with pytest.raises(DataError, match="NLPR: 1 training sample.*--data.validation_fraction=0"):
        set_up(folders, "fit", train_sets=["NLPR"])


def test_several_training_sets_are_joined(folders):
    folders.add("NLPR", ("a", "b"))
    folders.add("NJU2K", ("a", "b"))
    module = set_up(folders, "fit", train_sets=["NLPR", "NJU2K"], validation_fraction=0.0)
    seen = {(item["dataset"], item["name"]) for item in items_of(module.train_dataset)}
    assert seen == {("NLPR", "a"), ("NLPR", "b"), ("NJU2K", "a"), ("NJU2K", "b")}


def test_one_loader_per_test_set_in_the_order_given(folders):
    folders.add("NLPR", ("a",))
    elsewhere = folders.add("elsewhere/STERE1000", ("a", "b"))
    module = set_up(
        folders, "test", test_sets={"STEREO": str(elsewhere), "NLPR": "NLPR"}, predict_root="gone"
    )
    datasets = [next(iter(loader))["dataset"] for loader in module.test_dataloader()]
    assert datasets == [["STEREO", "STEREO"], ["NLPR"]]


@pytest.mark.parametrize("given", ["train/SSD", "train/SSD/", "./train/../train/SSD"])
def test_a_data_set_in_a_sub_folder_is_called_by_its_last_part(folders, given):
    folders.add("train/SSD", STEMS)
    folders.add("SSD", STEMS)
    nested = set_up(folders, "fit", train_sets=[given], augment=False)
    assert {nested.train_dataset[i]["dataset"] for i in range(3)} == {"SSD"}
    assert all("train" in sample.rgb.parts for sample in nested.train_dataset.samples)
    # What is held out, and that near is dark, depend on the name and not on where it lies.
    flat = set_up(folders, "fit", train_sets=["SSD"], augment=False)
    assert names_of(nested.val_dataset) == names_of(flat.val_dataset)
    torch.testing.assert_close(nested.val_dataset[0]["depth"], flat.val_dataset[0]["depth"])


def test_the_root_itself_can_be_the_data_set(folders):
    folder = folders.add("NLPR", ("a",))
    module = set_up(folders, "test", root=str(folder), test_sets=["."])
    assert module.test_datasets[0][0]["dataset"] == "NLPR"


def test_prediction_with_and_without_ground_truth(folders):
    with_masks, without = folders.add("SSD"), folders.add("mine", masks=False)
    module = set_up(folders, "predict", predict_root=str(without))
    batch = next(iter(module.predict_dataloader()))
    assert set(batch) == {"rgb", "depth", "name", "dataset", "original_size"}
    assert batch["dataset"][0] == "mine"
    module = set_up(folders, "predict", predict_root=str(with_masks))
    batch = next(iter(module.predict_dataloader()))
    assert {"mask", "ground_truth"} < set(batch)
    # The folder's name says that near is dark.
    assert batch["depth"][batch["mask"].bool()].mean() < 0.1


@pytest.mark.parametrize("name", [2185, "2185"])
def test_training_sets_by_name(folders, name):
    for folder in ("train/NJU2K", "train/NLPR", "train/DUT-RGBD"):
        folders.add(folder, STEMS[:3])
    module = set_up(folders, "fit", train_sets=name)
    assert {s.dataset for s in module.train_dataset.samples} == {"NJU2K", "NLPR"}
    larger = set_up(folders, "fit", train_sets=2985, validation_fraction=0.0)
    assert len(larger.train_dataset) == 9


def test_training_set_of_unknown_name(folders):
    with pytest.raises(ValueError, match="train_sets is 'NLPR', expected .*2185, 2985. or a list"):
        module_for(folders, train_sets="NLPR")


@pytest.mark.parametrize("test_sets", [["NLPR"], {"OTHER": "train/../NLPR"}, ["link"]])
def test_no_training_on_a_test_set(folders, test_sets):
    folders.add("NLPR")
    folders.add("train/SIP")
    (folders.root / "link").symlink_to("NLPR")
    with pytest.raises(DataError, match="in test_sets and, as NLPR, in train_sets.*test alone"):
        set_up(folders, "fit", train_sets=["train/SIP", "NLPR"], test_sets=test_sets)
    assert set_up(folders, "test", train_sets=["NLPR"], test_sets=test_sets).test_datasets
    assert set_up(folders, "fit", train_sets=["train/SIP"], test_sets=test_sets).train_dataset


def test_held_out_samples_are_fixed_and_not_trained_on(folders):
    folders.add(stems=STEMS)
    modules = [
        set_up(folders, "fit", train_sets=["NLPR"], validation_fraction=0.2, seed=seed)
        for seed in (0, 1)
    ]
    held_out = [names_of(module.val_dataset) for module in modules]
    assert held_out[0] == held_out[1]
    assert held_out[0] | names_of(modules[0].train_dataset) == set(STEMS)
    assert not held_out[0] & names_of(modules[0].train_dataset)
