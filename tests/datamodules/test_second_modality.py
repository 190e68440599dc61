"""Polarity and holes of depth, and modalities that have neither."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError

from .rgbd_modules import STEMS, items_of, module_for, set_up


def test_depth_is_inverted_for_the_near_dark_sets_alone(folders):
    for name in ("NLPR", "SSD"):
        folders.add(name, ("a",))
    module = set_up(folders, "test", test_sets=["NLPR", "SSD"])
    near_bright, near_dark = (dataset[0]["depth"] for dataset in module.test_datasets)
    torch.testing.assert_close(near_dark, 1 - near_bright)
    module = set_up(folders, "test", test_sets=["NLPR", "SSD"], near_dark_sets=["NLPR"])
    torch.testing.assert_close(module.test_datasets[0][0]["depth"], near_dark)
    torch.testing.assert_close(module.test_datasets[1][0]["depth"], near_bright)


@pytest.mark.parametrize("name", ["DES", "rgbd-135", "SSD100_TEST"])
def test_polarity_comes_from_the_catalogue_under_any_name(folders, name):
    for folder in (name, "NLPR"):
        folders.add(folder, ("a",))
    module = set_up(folders, "test", test_sets=[name, "NLPR"])
    near_dark, near_bright = (dataset[0]["depth"] for dataset in module.test_datasets)
    torch.testing.assert_close(near_dark, 1 - near_bright)
    module = set_up(folders, "test", test_sets=[name, "NLPR"], near_dark_sets=[])
    torch.testing.assert_close(module.test_datasets[0][0]["depth"], near_bright)


def test_polarity_of_held_out_samples_follows_their_data_set(folders):
    folders.add("SSD", STEMS[:2])
    val_dataset = set_up(folders, "fit", train_sets=["SSD"]).val_dataset
    assert val_dataset[0]["dataset"] == "held_out"
    item = val_dataset[0]
    assert item["depth"][item["mask"].bool()].mean() < 0.1


def with_holes(folders, name, subfolder="depth"):
    """Fabricate a near-dark sensor of 16 bits, in millimetres, with a hole inside the object."""
    folder = folders.add(name, STEMS[:4])
    (folder / "depth").rename(folder / "stored")
    (folder / subfolder).mkdir()
    for path in sorted((folder / "stored").iterdir()):
        depth = 4000 - 10 * np.asarray(Image.open(path)).astype(np.uint16)
        depth[14:18, 16:20] = 0
        Image.fromarray(depth).save(folder / subfolder / path.name)
    return folder


@pytest.mark.parametrize("invalid_depth", ["auto", {"test/Kinect": "zero"}, {"Kinect": "none"}])
def test_holes_are_far_in_training_testing_and_prediction_alike(folders, invalid_depth):
    folder = with_holes(folders, "Kinect")
    shutil.copytree(folder, folders.root / "test" / "Kinect")
    arguments = dict(
        near_dark_sets=["Kinect"],
        invalid_depth=invalid_depth,
        train_sets=["Kinect"],
        test_sets=["test/Kinect"],
        predict_root=str(folder),
        augment=False,
        validation_fraction=0.5,
        image_size=64,
    )
    module = module_for(folders, **arguments)
    for stage in ("fit", "test", "predict"):
        module.setup(stage)
    assert module.val_dataset is not None
    seen = {item["name"]: item for item in items_of(module.test_datasets[0])}
    others = (module.train_dataset, module.val_dataset, module.predict_dataset)
    depths = [item for dataset in others for item in items_of(dataset)]
    assert len(depths) == 8
    for item in depths:
        assert torch.equal(item["depth"], seen[item["name"]]["depth"])
        hole, beside = item["depth"][0, 20:23, 17:19], item["depth"][0, 16, 30]
        if invalid_depth == {"Kinect": "none"}:
            assert hole.min() > 0.95 and beside < 0.6  # near, and all else squeezed together
        else:
            assert hole.max() < 0.05 and beside > 0.95


def test_another_second_modality_has_neither_polarity_nor_holes(folders):
    for name in ("SSD", "VT821"):
        with_holes(folders, name, "T")
    arguments = dict(second_modality="thermal", depth_range=(0, 65535), augment=False)
    module = set_up(folders, "test", test_sets=["SSD", "VT821"], image_size=64, **arguments)
    one, other = (dataset[0]["depth"] for dataset in module.test_datasets)
    assert one.shape == (1, 64, 64) and torch.equal(one, other)
    assert one[0, 20, 18] < 0.01 and one[0, 5, 5] == pytest.approx(3800 / 65535, abs=0.002)


@pytest.mark.parametrize(("modality", "folder"), [("thermal", "T"), ("nir", "NIR")])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_second_modality_in_every_stage(folders, modality, folder, channels):
    path = folders.add("VT", STEMS[:6])
    (path / "depth").rename(path / folder)
    for grey in (path / folder).iterdir():
        if channels == 3:
            values = np.asarray(Image.open(grey))
            Image.fromarray(np.stack([values, values // 2, 255 - values], -1)).save(grey)
    shutil.copytree(path, folders.root / "test" / "VT")
    module = module_for(
        folders,
        second_modality=modality,
        depth_channels=channels,
        train_sets=["VT"],
        test_sets=["test/VT"],
        predict_root=str(path),
        validation_fraction=0.3,
    )
    for stage in ("fit", "test", "predict"):
        module.setup(stage)
    loaders = [module.train_dataloader(), module.val_dataloader()]
    loaders += [*module.test_dataloader(), module.predict_dataloader()]
    for loader in loaders:
        batch = next(iter(loader))
        assert batch["depth"].shape == (len(batch["name"]), channels, 32, 32)
        assert 0 <= batch["depth"].min() < batch["depth"].max() <= 1
    if channels == 3:
        item = module.test_datasets[0][0]
        inside = item["depth"][:, item["mask"][0].bool()].mean(dim=1)
        assert inside[0] > inside[1] > inside[2]


def test_a_folder_of_another_modality_is_not_taken_for_depth(folders):
    path = folders.add("VT")
    (path / "depth").rename(path / "T")
    with pytest.raises(DataError, match="VT: no folder depth .*Found in .*: GT, RGB, T"):
        set_up(folders, "test", test_sets=["VT"])
    with pytest.raises(DataError, match="NLPR: no such folder; .*the folders RGB, T and GT"):
        set_up(folders, "test", test_sets=["NLPR"], second_modality="thermal")


def test_near_dark_sets_may_be_given_as_folders(folders):
    folders.add("test/NLPR", ("a",))
    bright = set_up(folders, "test", test_sets=["test/NLPR"])
    dark = set_up(folders, "test", test_sets=["test/NLPR"], near_dark_sets=["test/NLPR"])
    torch.testing.assert_close(
        dark.test_datasets[0][0]["depth"], 1 - bright.test_datasets[0][0]["depth"]
    )
