"""Data for segmentation: layouts, splits, transforms, and what is refused before training."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError
from datamodules.augmentation.scale_and_crop import ScaleAndCrop, render_label, resize_label
from datamodules.reading.label_files import read_label
from mutualformer.errors import UserError

from .segmentation_folders import (
    SIZE,
    STEMS,
    add_nyu,
    label_of,
    module_for,
    set_up,
    write_list,
)


def test_items_hold_classes_at_the_networks_size_and_at_their_own(tmp_path: Path) -> None:
    (test,) = set_up(add_nyu(tmp_path), "test").test_datasets
    assert [sample.name for sample in test.samples] == list(STEMS[5:])
    item = test[0]
    assert item["dataset"] == "NYUDepthv2" and item["original_size"] == SIZE
    assert item["ground_truth"].tolist() == label_of(5).tolist()
    assert item["label"].shape == (32, 32) and item["label"].dtype == torch.uint8
    assert set(item["label"].unique().tolist()) == {0, 1, 2, 255}
    assert item["rgb"].shape == (3, 32, 32) and item["depth"].shape == (1, 32, 32)
    # Distances: near is dark in the file, bright here, and a hole is far.
    at_own_size = set_up(add_nyu(tmp_path), "test", image_size=list(SIZE)).test_datasets[0][0]
    depth, label = at_own_size["depth"][0], at_own_size["ground_truth"]
    assert depth[label == 0].min() > depth[label == 2].max() and depth[21, 21] == 0


def test_a_part_of_the_training_list_is_held_out_or_a_list_is_given(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    module = set_up(folder, "fit", validation_fraction=0.4)
    assert module.val_dataset is not None
    names = [{x.name for x in d.samples} for d in (module.train_dataset, module.val_dataset)]
    assert names[0] | names[1] == set(STEMS[:5]) and not names[0] & names[1]
    assert module.val_dataset[0]["dataset"] == "held_out"
    write_list(folder / "val.txt", STEMS[3:5])
    write_list(folder / "train.txt", STEMS[:3])
    module = set_up(folder, "fit", val_splits=["val.txt"])
    assert module.val_dataset is not None and len(module.val_dataset) == 2
    both = set_up(folder, "fit", train_splits=["train.txt", "val.txt"], validation_fraction=0)
    assert len(both.train_dataset) == 5 and both.val_dataset is None


def test_further_test_lists_are_scored_under_their_own_names(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    write_list(folder / "test_night.txt", STEMS[6:])
    module = set_up(folder, "test", test_splits=["test.txt", "test_night.txt"])
    sets = [(d[0]["dataset"], len(d)) for d in module.test_datasets]
    assert sets == [("NYUDepthv2", 3), ("NYUDepthv2_test_night", 2)]


def refinenet_layout(folder: Path) -> dict:
    """RGB, depth and masks in lower case, labels from 0 with void 255, three columns by tabs."""
    for old, new in (("RGB", "rgb"), ("Depth", "depth2"), ("Label", "masks")):
        (folder / old).rename(folder / new)
    (folder / "depth2").rename(folder / "depth")
    shutil.rmtree(folder / "HHA")
    for path in (folder / "masks").iterdir():
        values = np.asarray(Image.open(path))
        Image.fromarray(values - np.uint8(1)).save(path)  # as loaders do: 0 becomes 255
    for name in ("train", "test"):
        stems = (folder / f"{name}.txt").read_text().split()
        lines = [f"rgb/{x}.jpg\tdepth/{x}.png\tmasks/{x}.png" for x in stems]
        write_list(folder / f"{name}.txt", lines)
    return {"label_map": "nyu40_from_0"}


def four_channels(folder: Path) -> dict:
    """MFNet as it was released: RGB and thermal in one file, what is unlabelled is a class."""
    (folder / "images").mkdir()
    for stem in STEMS:
        rgb = np.asarray(Image.open(folder / "RGB" / f"{stem}.jpg"))
        thermal = np.linspace(0, 255, rgb[..., 0].size).reshape(SIZE).astype(np.uint8)
        image = Image.fromarray(np.dstack([rgb, thermal]))
        image.save(folder / "images" / f"{stem}.png")
    for name in ("RGB", "Depth", "HHA"):
        shutil.rmtree(folder / name)
    (folder / "Label").rename(folder / "labels")
    return {"label_map": "mfnet", "second_modality": "thermal"}


def split_thermal(folder: Path) -> dict:
    """MFNet as Sigma stores it."""
    (folder / "Depth").rename(folder / "Modal")
    shutil.rmtree(folder / "HHA")
    return {"label_map": "mfnet", "second_modality": "thermal"}


def folders_of_splits(folder: Path) -> dict:
    """PST900: a folder per split with several second modalities, and no list."""
    for name in ("train", "test"):
        for stem in (folder / f"{name}.txt").read_text().split():
            for old, new in (("RGB", "rgb"), ("Depth", "thermal"), ("Label", "labels")):
                (path,) = (folder / old).glob(f"{stem}.*")
                for target in (new, "thermal_raw", "depth") if new == "thermal" else (new,):
                    (folder / name / target).mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, folder / name / target)
        (folder / f"{name}.txt").unlink()
    for name in ("RGB", "Depth", "HHA", "Label"):
        shutil.rmtree(folder / name)
    splits = {"train_splits": ["train"], "test_splits": ["test"]}
    return {"label_map": "pst900", "second_modality": "thermal", **splits}


def arrays(folder: Path) -> dict:
    """NYU with depth in metres as `.npy`, and a list of RGB files."""
    for path in list((folder / "Depth").iterdir()):
        metres = np.asarray(Image.open(path)).astype(np.float32) / 1000
        metres[metres == 0] = np.nan
        np.save(path.with_suffix(".npy"), metres)
        path.unlink()
    for name in ("train", "test"):
        stems = (folder / f"{name}.txt").read_text().split()
        write_list(folder / f"{name}.txt", [f"RGB/{x}.jpg Label/{x}.png" for x in stems])
    return {}


def hha(folder: Path) -> dict:
    return {"second_modality": "hha", "depth_channels": 3}


LAYOUTS = [arrays, hha, refinenet_layout, four_channels, split_thermal, folders_of_splits]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts_in_circulation_are_read(layout, tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    options = layout(folder)
    with_void = options.get("label_map") in (None, "nyu40_from_0")
    modules = [set_up(folder, stage, image_size=list(SIZE), **options) for stage in ("fit", "test")]
    assert len(modules[0].train_dataset) + len(modules[0].val_dataset) == 5
    item = modules[1].test_datasets[0][1]
    assert item["name"] == STEMS[6]
    expected = label_of(6)
    if not with_void:
        expected = np.where(expected == 255, 0, expected + 1)
    assert item["ground_truth"].tolist() == expected.tolist()
    assert item["depth"].shape[0] == options.get("depth_channels", 1)
    assert item["depth"].max() > 0.9 and item["rgb"].float().std() > 1
    if layout is arrays:
        assert item["depth"][0, 21, 21] == 0 and item["depth"][0, 8, 8] == 1


def test_rotated_bits_are_rotated_back(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path, name="SUNRGBD")
    plain = set_up(folder, "test", label_map="sun37").test_datasets[0][0]["depth"]
    for path in (folder / "Depth").iterdir():
        values = np.asarray(Image.open(path)).astype(np.uint16) + 7000  # some beyond 13 bits
        values[20:24, 20:24] = 0
        Image.fromarray((values << 3) | (values >> 13)).save(path)
    rotated = set_up(folder, "test", rotated_bits=True).test_datasets[0][0]["depth"]
    torch.testing.assert_close(rotated, plain)
    left = set_up(folder, "test").test_datasets[0][0]["depth"]
    assert not torch.allclose(left, plain, atol=0.1)


def damage_label(path: Path) -> None:
    values = np.asarray(Image.open(path)).copy()
    values[0, :16] = 200
    Image.fromarray(values).save(path)


def colour_label(path: Path) -> None:
    Image.open(path).convert("RGB").save(path)


def shrink_label(path: Path) -> None:
    Image.open(path).resize((32, 24), Image.Resampling.NEAREST).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_label, r"Label/0007.png: the value 200 in 0.52% of its pixels is unknown"),
        (colour_label, r"Label/0007.png: the same grey value in three channels"),
        (shrink_label, r"Label/0007.png: the label has 24 × 32 pixels .*expected 48 × 64"),
        (Path.unlink, r"test.txt: 1 of 3 samples .*line 3: 0007, no label"),
    ],
)
def test_a_wrong_label_is_told_before_a_test(damage, message: str, tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    damage(folder / "Label" / "0007.png")
    with pytest.raises(DataError, match=message):
        set_up(folder, "test")
    set_up(folder, "fit", test_splits=None)  # which does not read it


def test_a_list_that_names_what_is_not_there(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    (folder / "Depth" / "0002.png").unlink()
    write_list(folder / "train.txt", [*STEMS[:4], "9999"])
    with pytest.raises(DataError, match="2 of 5 samples.*line 3: 0002, no depth image, line 5: 99"):
        set_up(folder, "fit")
    with pytest.raises(DataError, match="no such list or folder.*Found in .*train.txt"):
        set_up(folder, "fit", train_splits=["trian.txt"])
    (folder / "train.txt").write_text("\n")
    with pytest.raises(DataError, match="the list is empty"):
        set_up(folder, "fit")
    with pytest.raises(DataError, match="train_splits is not given"):
        set_up(folder, "fit", train_splits=None)


def test_two_files_of_one_sample_are_ambiguous_also_with_a_list(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    np.save(folder / "Depth" / "0001.npy", np.ones(SIZE, np.float32))
    with pytest.raises(DataError, match="0001.npy and 0001.png"):
        set_up(folder, "fit")


def test_what_is_trained_or_chosen_on_cannot_be_tested_on(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    write_list(folder / "val.txt", STEMS[4:6])
    for options, message in (
        ({"test_splits": ["train.txt"]}, r"5 sample\(s\) of test_splits|test_splits are in train"),
        ({"val_splits": ["test.txt"]}, "3 sample.* of test_splits are in train_splits or val"),
        ({"val_splits": ["val.txt"]}, r"1 sample\(s\) of train_splits are in val_splits too"),
    ):
        with pytest.raises(DataError, match=message):
            set_up(folder, "fit", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second_modality": "hha"}, "depth_channels is 1, expected 3 for hha"),
        ({"second_modality": "radar"}, "second_modality is 'radar', expected one of depth, hha"),
        ({"second_modality": "thermal", "near_dark": True}, "near_dark is given, .* thermal"),
        ({"second_modality": "nir", "rotated_bits": True}, "rotated_bits is given"),
        ({"augment": False, "scales": (0.5, 2)}, "augment is false: leave it out"),
        ({"scales": (2, 0.5)}, r"scales is \[2, 0.5\]"),
        ({"validation_fraction": 0.1, "val_splits": ["val.txt"]}, "expected one of the two"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"label_map": "nyu13"}, "label_map is nyu13, expected one of nyu40"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        module_for(tmp_path / "NYUDepthv2", **options)


def test_a_data_set_without_a_map_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="label_map is not given, and mine is no data set"):
        module_for(tmp_path / "mine")
    assert module_for(tmp_path / "SUN-RGBD").label_map.num_classes == 37


def test_pairs_are_predicted_without_labels(tmp_path: Path) -> None:
    folder = add_nyu(tmp_path)
    shutil.rmtree(folder / "Label")
    dataset = set_up(folder, "predict", predict_root=str(folder)).predict_dataset
    assert len(dataset) == 8 and "label" not in dataset[0]
    files = {f"predict_{x}": str(folder / y) for x, y in (("rgb", "RGB/0003.jpg"),)}
    files["predict_depth"] = str(folder / "Depth/0003.png")
    (item,) = set_up(folder, "predict", **files).predict_dataset
    assert item["name"] == "0003"


def test_labels_move_with_their_image_and_are_never_interpolated(tmp_path: Path) -> None:
    label = torch.from_numpy(np.kron(label_of(3), np.ones((4, 4), np.uint8)))
    rgb = torch.where(label == 255, 3, label).mul(80).expand(3, -1, -1).contiguous()
    depth = rgb[:1].float() / 255
    transform = ScaleAndCrop((96, 128), lambda image: image, scales=(0.5, 1.75))
    beyond, agreements = 0, []
    for seed in range(12):
        torch.manual_seed(seed)
        _, moved, seen = transform(rgb, depth, label)
        assert seen.shape == (96, 128) and set(seen.unique().tolist()) <= {0, 1, 2, 255}
        inside = seen != 255
        beyond += int((~inside).float().mean() > 0.3)
        told = (moved[0] * 255 / 80).round()
        agreements.append((told[inside] == seen[inside]).float().mean().item())
    assert beyond  # some are shown small, within void
    assert min(agreements) > 0.95  # edges aside


def test_a_view_mirrors_and_crops_a_label_to_the_pixel() -> None:
    from datamodules.augmentation.random_view import RandomView

    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    view = RandomView(1, -1, 2, 4, True, 0.0)
    assert render_label(label, view, (2, 4)).tolist() == [[6, 5, 4, 255], [10, 9, 8, 255]]
    grown = resize_label(label, (6, 8))
    assert (grown[::2, ::2] == label).all() and (grown[1::2, 1::2] == label).all()


def test_training_items_are_augmented_and_say_their_seed(tmp_path: Path) -> None:
    module = set_up(add_nyu(tmp_path), "fit")
    batch = next(iter(module.train_dataloader()))
    assert batch["label"].shape == (2, 32, 32) and batch["label"].dtype == torch.uint8
    assert "ground_truth" not in batch
    again = next(iter(set_up(add_nyu(tmp_path), "fit").train_dataloader()))
    assert torch.equal(batch["rgb"], again["rgb"]) and torch.equal(batch["label"], again["label"])


def test_the_real_pairs_are_read_as_they_lie(shared: Path) -> None:
    folder = shared / "data" / "rgbd_seg" / "pipes"
    if not folder.is_dir():
        pytest.skip("the real pairs of pipes are not beside this repository")
    options = {"label_map": {"classes": ["background", "defect 1", "defect 2"]}, "near_dark": False}
    module = set_up(folder, "fit", val_splits=["val.txt"], test_splits=None, **options)
    assert (len(module.train_dataset), len(module.val_dataset)) == (50, 27)
    item = module.val_dataset[0]
    name = (folder / "val.txt").read_text().split()[0]
    assert item["original_size"] == (102, 180) and f"{item['name']}.png" == name
    found = folder / "labels" / name
    expected = Counter(read_label(found, module.label_map).ravel().tolist())
    assert Counter(item["ground_truth"].flatten().tolist()) == expected
