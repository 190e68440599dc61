"""Networks that read one modality need that one alone; two files make a pair."""

import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError

from .rgbd_modules import STEMS, items_of, module_for


def module_reading(folders, modalities, **arguments):
    module = module_for(folders, **arguments)
    module.modalities = modalities
    return module


def without(folders, *names, data_set="mine"):
    folder = folders.add(data_set, STEMS[:6])
    for name in names:
        shutil.rmtree(folder / name)
    return folder


@pytest.mark.parametrize(
    ("read", "other", "folder"), [("rgb", "depth", "depth"), ("depth", "rgb", "RGB")]
)
@pytest.mark.parametrize("augment", [False, True])
def test_every_stage_does_without_the_other_modality(folders, read, other, folder, augment):
    path = without(folders, folder)
    shutil.copytree(path, folders.root / "test" / "mine")
    module = module_reading(
        folders,
        (read,),
        train_sets=["mine"],
        test_sets=["test/mine"],
        predict_root=str(path),
        validation_fraction=0.3,
        augment=augment,
    )
    for stage in ("fit", "validate", "test", "predict"):
        module.setup(stage)
    datasets = [module.train_dataset, module.val_dataset, *module.test_datasets]
    for dataset in (*datasets, module.predict_dataset):
        for item in items_of(dataset):
            assert item[read].max() > 0 and not item[other].any()
            assert item["rgb"].shape == (3, 32, 32) and item["depth"].shape == (1, 32, 32)
            assert item["mask"].shape == (1, 32, 32) and item["original_size"] == (48, 64)


def test_a_folder_of_photographs_can_be_predicted_from_rgb_alone(folders):
    folder = folders.add("mine", STEMS[:2]) / "RGB"
    module = module_reading(folders, ("rgb",), predict_root=str(folder))
    module.setup("predict")
    assert [item["name"] for item in items_of(module.predict_dataset)] == list(STEMS[:2])
    with pytest.raises(DataError, match="RGB: no folder depth"):
        module_reading(folders, ("rgb", "depth"), predict_root=str(folder)).setup("predict")


def test_what_is_read_is_the_same_as_beside_the_other(folders):
    folders.add("mine", STEMS[:2])
    arguments = dict(train_sets=["mine"], validation_fraction=0.0)
    items = []
    for modalities in (("rgb", "depth"), ("rgb",)):
        module = module_reading(folders, modalities, **arguments)
        module.setup("fit")
        torch.manual_seed(0)
        items.append(module.train_dataset[1])
    assert torch.equal(items[0]["rgb"], items[1]["rgb"])
    assert torch.equal(items[0]["mask"], items[1]["mask"])


def test_what_is_not_read_may_be_broken_or_incomplete(folders):
    folder = folders.add("mine", STEMS[:4])
    (folder / "depth" / f"{STEMS[0]}.png").write_bytes(b"")
    (folder / "depth" / f"{STEMS[1]}.png").unlink()
    module = module_reading(folders, ("rgb",), test_sets=["mine"])
    module.setup("test")
    assert len(items_of(module.test_datasets[0])) == 4
    module.modalities = ("rgb", "depth")
    with pytest.raises(DataError, match=rf"missing in depth/ \({STEMS[1]}\)"):
        module.setup("test")


@pytest.mark.parametrize("names", [("image.jpg", "disparity 7.png"), ("x.jpg", "x.png")])
def test_a_pair_by_two_names(folders, names):
    folder = folders.add("DES", ("a",))
    paths = [folders.root / "pictures" / name for name in names]
    paths[0].parent.mkdir()
    (folder / "RGB" / "a.jpg").rename(paths[0])
    (folder / "depth" / "a.png").rename(paths[1])
    pair = dict(predict_rgb=str(paths[0]), predict_depth=str(paths[1]))
    module = module_for(folders, **pair)
    module.setup("predict")
    (item,) = items_of(module.predict_dataset)
    assert (item["dataset"], item["name"]) == ("pictures", paths[0].stem)
    assert item["original_size"] == (48, 64) and item["depth"].max() == 1 and "mask" not in item
    dark = module_for(folders, **pair, near_dark_sets=["pictures"])
    dark.setup("predict")
    torch.testing.assert_close(dark.predict_dataset[0]["depth"], 1 - item["depth"])


def test_a_file_of_a_data_set_belongs_to_it(folders):
    folder = folders.add("DES", ("a",))  # near dark, by the catalogue
    by_folder = module_for(folders, predict_root=str(folder))
    by_file = module_for(
        folders,
        predict_rgb=str(folder / "RGB" / "a.jpg"),
        predict_depth=str(folder / "depth" / "a.png"),
    )
    for module in (by_folder, by_file):
        module.setup("predict")
    one, other = by_folder.predict_dataset[0], by_file.predict_dataset[0]
    assert (one["dataset"], one["name"]) == (other["dataset"], other["name"]) == ("DES", "a")
    assert torch.equal(one["depth"], other["depth"])


@pytest.mark.parametrize(
    ("modalities", "given", "words"),
    [
        (("rgb", "depth"), {"predict_rgb": "a.jpg"}, "predict_depth is not given"),
        (("rgb", "depth"), {"predict_depth": "a.png"}, "predict_rgb is not given"),
        (
            ("depth",),
            {"predict_rgb": "a.jpg"},
            "predict_rgb is .*a.jpg, which the network does not",
        ),
        (("rgb",), {"predict_depth": "a.png"}, "predict_depth is .*a.png, which the network does"),
        (
            ("rgb",),
            {"predict_rgb": "a.jpg", "predict_root": "x"},
            "predict_root is x, but two files",
        ),
        (("rgb",), {"predict_rgb": "gone.jpg"}, "gone.jpg: cannot be read as an image"),
        (("rgb",), {}, "predict_root is not given"),
    ],
)
def test_a_pair_that_is_none(folders, modalities, given, words):
    folder = folders.add("mine", ("a",))
    files = {"a.jpg": folder / "RGB" / "a.jpg", "a.png": folder / "depth" / "a.png"}
    given = {name: str(files.get(value, value)) for name, value in given.items()}
    module = module_reading(folders, modalities, **given)
    with pytest.raises(DataError, match=words):
        module.setup("predict")


def test_a_network_that_reads_both_says_which_fusion_would_do(folders):
    without(folders, "depth")
    with pytest.raises(DataError, match="no folder depth .*--model.network.fusion.name=rgb"):
        module_reading(folders, ("rgb", "depth"), test_sets=["mine"]).setup("test")


@pytest.mark.parametrize("second_modality", ["depth", "thermal"])
def test_a_fourth_channel_is_read(folders, second_modality):
    folder = folders.add("mine", ("a", "b"))
    expected = {}
    for path in (folder / "RGB").iterdir():
        image = Image.open(path)
        values = Image.open(folder / "depth" / f"{path.stem}.png")
        expected[path.stem] = np.asarray(values)
        image.putalpha(values)
        image.save(path.with_suffix(".png"))
        path.unlink()
    shutil.rmtree(folder / "depth")
    module = module_for(
        folders,
        test_sets=["mine"],
        second_modality=second_modality,
        cache_dir=str(folders.root / "cache"),
    )
    with pytest.warns(
        match=f"no images of {second_modality}; the fourth channel .* is read as such"
    ):
        module.setup("test")
    for _ in range(2):  # the second time, from the cache
        for item in items_of(module.test_datasets[0]):
            bright = item["depth"][0][item["mask"][0].bool()].mean()
            assert bright > 0.9 and item["depth"].min() < 0.01
            assert item["rgb"][:, item["mask"][0].bool()].float().mean() > 100


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_spoilt_range_is_said_once(folders, num_workers, monkeypatch):
    folder = folders.add("mine", STEMS[:8])
    for path in (folder / "depth").iterdir():
        values = np.asarray(Image.open(path)).astype(np.uint16) + 2000
        values[:3, :3] = 65535
        Image.fromarray(values).save(path)
    module = module_for(folders, train_sets=["mine"], num_workers=num_workers)
    log = folders.root / "warnings.txt"  # of worker processes too

    def write(message, *_, **__):
        with log.open("a") as file:
            file.write(f"{message}\n")

    monkeypatch.setattr(warnings, "showwarning", write)
    warnings.simplefilter("always")
    module.setup("fit")
    for _ in range(2):
        list(module.train_dataloader())
        list(module.val_dataloader())
    (said,) = [line for line in log.read_text().splitlines() if "65535" in line]
    assert "which keep 0." in said and "--data.invalid_depth" in said
    module = module_for(folders, train_sets=["mine"], invalid_depth="both")
    module.setup("fit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(module.train_dataloader())


def test_a_set_keeps_its_name_below_a_split(folders):
    folders.add("DES/test", ("a",))
    folders.add("mine/test", ("a",))
    module = module_for(folders, test_sets=["DES/test", "mine/test"])
    module.setup("test")
    items = [dataset[0] for dataset in module.test_datasets]
    assert [item["dataset"] for item in items] == ["DES", "test"]
    torch.testing.assert_close(items[0]["depth"], 1 - items[1]["depth"])  # near dark, by its name
