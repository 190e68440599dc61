"""What the user is told of wrong arguments, folders and files."""

import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError, RGBDSaliencyDataModule

from .rgbd_modules import items_of, module_for, set_up


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
        (dict(image_size=[352, 16]), r"image_size is \[352, 16\], expected at least 32 pixels"),
        (dict(image_size=(64, 96, 3)), r"image_size is \(64, 96, 3\), expected one whole number"),
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
