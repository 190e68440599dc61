import pickle
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import DataError, RGBDSaliencyDataModule

STEMS = tuple(f"image_{number:02d}" for number in range(40))


def module_for(folders, **arguments):
    return RGBDSaliencyDataModule(
        **{"root": str(folders.root), "image_size": 32, "num_workers": 0, "batch_size": 2}
        | arguments
    )


def set_up(folders, stage, **arguments):
    module = module_for(folders, **arguments)
    module.setup(stage)
    return module


def items_of(dataset):
    return [dataset[index] for index in range(len(dataset))]


def names_of(dataset):
    return {sample.name for sample in dataset.samples}


# Items and batches


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


# Which samples go where


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


def test_near_dark_sets_may_be_given_as_folders(folders):
    folders.add("test/NLPR", ("a",))
    bright = set_up(folders, "test", test_sets=["test/NLPR"])
    dark = set_up(folders, "test", test_sets=["test/NLPR"], near_dark_sets=["test/NLPR"])
    torch.testing.assert_close(
        dark.test_datasets[0][0]["depth"], 1 - bright.test_datasets[0][0]["depth"]
    )


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


# Errors


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("fit", r"train_sets is not given, .*: give --data.train_sets=\[NAME"),
        ("test", r"test_sets is not given, .*--data.test_sets=\[NAME"),
        ("predict", "predict_root is not given, .*--data.predict_root=FOLDER"),
    ],
)
def test_folders_that_were_not_given(folders, stage, message):
    with pytest.raises(DataError, match=message):
        set_up(folders, stage)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["test/NLPR", "train/NLPR"], "two data sets called NLPR .*test_sets={NAME: FOLDER, OTHER"),
        (["NLPR", "NLPR"], "two data sets called NLPR"),
        ({"test/NLPR": "test/NLPR"}, "'test/NLPR', expected a name without folders"),
    ],
)
def test_names_that_cannot_tell_data_sets_apart(folders, sets, message):
    with pytest.raises(DataError, match=message):
        set_up(folders, "test", test_sets=sets)


def test_missing_root(folders):
    with pytest.raises(DataError, match="gone: no such folder.*holds NLPR.*--data.root=FOLDER"):
        set_up(folders, "fit", root=str(folders.root / "gone"), train_sets=["NLPR"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(validation_fraction=1.0), "validation_fraction is 1.0"),
        (dict(validation_fraction=-0.1), "validation_fraction is -0.1"),
        (dict(image_size=16), "image_size is 16"),
        (dict(batch_size=0), "batch_size is 0"),
        (dict(depth_channels=3), "depth_channels is 3, expected 1 for depth"),
        (dict(second_modality="nir", depth_channels=2), "depth_channels is 2, .* 1 or 3 for"),
        (dict(second_modality="radar"), "second_modality is 'radar', expected one of depth, therm"),
        (dict(second_modality="nir", invalid_depth="zero"), "invalid_depth is 'zero', but .* nir"),
        (dict(second_modality="nir", depth_range=(2, 1)), r"depth_range is \[2, 1\]"),
        (dict(invalid_depth={"SSD": "all"}), "invalid_depth is 'all'"),
        (
            dict(test_sets=["mine"], invalid_depth={"mime": "zero"}),
            r"invalid_depth names a data set mime, expected one of those in use \(mine\)$",
        ),
        (dict(near_dark_sets=["mine"]), r"near_dark_sets names .* mine, .* in use \(none\)$"),
        (
            dict(test_sets=["LFSD", "test/RGBD135"], near_dark_sets=["DES"]),
            r"names a data set DES, .* \(LFSD, RGBD135\): call it RGBD135 there too$",
        ),
    ],
)
def test_arguments_out_of_range(folders, arguments, message):
    with pytest.raises(ValueError, match=message):
        module_for(folders, **arguments)


def test_public_sets_may_be_spoken_of_that_are_not_in_use(folders):
    module_for(folders, test_sets=["LFSD"], near_dark_sets=["DES"], invalid_depth={"SSD": "zero"})


def resize_file(path, size):
    with Image.open(path) as image:
        resized = image.resize(size)
    resized.save(path)


def test_depth_of_another_size_is_an_error_unless_resizing_is_asked_for(folders):
    folder = folders.add(stems=("a", "b"))
    expected = set_up(folders, "test", test_sets=["NLPR"]).test_datasets[0][1]["depth"]
    resize_file(folder / "depth" / "b.png", (32, 24))
    with pytest.raises(
        DataError,
        match="b.png: the depth map has 24 × 32 .*expected 48 × 64 as in RGB/b.jpg.*--data",
    ):
        set_up(folders, "test", test_sets=["NLPR"])
    module = set_up(folders, "test", test_sets=["NLPR"], resize_depth=True)
    item = module.test_datasets[0][1]
    assert item["original_size"] == (48, 64)
    assert (item["depth"] - expected).abs().mean() < 0.05


def test_mask_of_another_size_is_always_an_error(folders):
    folder = folders.add()
    resize_file(folder / "GT" / "b.png", (32, 24))
    with pytest.raises(DataError, match="b.png: the mask has 24 × 32 .*: resize the file$"):
        set_up(folders, "fit", train_sets=["NLPR"], resize_depth=True)


def test_file_that_is_no_image_is_found_before_the_first_batch(folders):
    folder = folders.add()
    (folder / "depth" / "c.png").write_bytes(b"")
    with pytest.raises(DataError, match="c.png: cannot be read .*the file is empty"):
        set_up(folders, "fit", train_sets=["NLPR"])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_truncated_file_is_named_whatever_the_number_of_workers(folders, num_workers):
    folder = folders.add(size=(200, 200))
    path = folder / "RGB" / "b.jpg"
    path.write_bytes(path.read_bytes()[:1500])
    module = set_up(folders, "test", test_sets=["NLPR"], num_workers=num_workers)
    with pytest.raises(DataError, match=r"^\S*b.jpg: cannot be read as an image") as error:
        list(module.test_dataloader()[0])
    assert "\n" not in str(error.value) and "Traceback" not in str(error.value)


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(DataError("a.png: wrong")))
    assert type(error) is DataError and str(error) == "a.png: wrong"


def test_mask_that_is_not_binary_is_named(folders):
    folder = folders.add()
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    Image.fromarray(grey).save(folder / "GT" / "a.png")
    with pytest.raises(DataError, match="a.png: not a binary mask"):
        items_of(set_up(folders, "test", test_sets=["NLPR"]).test_datasets[0])


def test_constant_depth_warns_once_per_file_and_gives_zeros(folders):
    folder = folders.add("SSD")
    for stem in "ab":
        Image.new("L", (64, 48), 90).save(folder / "depth" / f"{stem}.png")
    dataset = set_up(folders, "test", test_sets=["SSD"]).test_datasets[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            items = items_of(dataset)
    assert [str(warning.message).partition(": ")[0] for warning in caught] == [
        str(folder / "depth" / "a.png"),
        str(folder / "depth" / "b.png"),
    ]
    assert not items[0]["depth"].any() and items[2]["depth"].any()


# Real data


def test_real_triples(real_data):
    module = RGBDSaliencyDataModule(
        str(real_data), test_sets=["DES", "SSD"], image_size=224, num_workers=0
    )
    module.setup("test")
    assert [len(dataset) for dataset in module.test_datasets] == [5, 3]
    for dataset, size in zip(module.test_datasets, [(480, 640), (1080, 960)], strict=True):
        for item in items_of(dataset):
            assert item["original_size"] == size
            assert item["ground_truth"].shape == (1, *size)
            object_share = item["ground_truth"].float().mean().item()
            assert 0.005 < object_share < 0.6
            assert item["mask"].float().mean().item() == pytest.approx(object_share, rel=0.02)
            # The annotated objects are nearer than what surrounds them.
            inside = item["mask"]
            assert item["depth"][inside].mean() > item["depth"][~inside].mean()
