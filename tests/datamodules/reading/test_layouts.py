"""Data sets in the layouts in circulation, through the data module's pairing and data check."""

import shutil

import numpy as np
import pytest
from PIL import Image

from datamodules import DataError
from datamodules.check import check_root
from datamodules.reading.pair_files import pair_files
from datamodules.reading.roles import read_name, split_stem

FOLDERS = {"rgb": "RGB", "second": "depth", "mask": "GT"}


def arrange(folder, rgb, second, mask):
    """Move the files of a data set `mine` to patterns below its folder, such as `RGB/{}.jpg`."""
    for (_, name), pattern in zip(FOLDERS.items(), (rgb, second, mask), strict=True):
        for path in sorted((folder / name).iterdir()):
            target = folder / (pattern.format(path.stem) + path.suffix)
            if target != path:
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(folder / "moving")
                (folder / "moving").rename(target)
    for name in FOLDERS.values():
        if (folder / name).is_dir() and not any((folder / name).iterdir()):
            (folder / name).rmdir()


def sources(samples):
    return [(s.rgb.name, s.depth.name, s.mask.name) for s in samples]


LAYOUTS = {
    "DUT-RGBD": ("train_images/{}", "train_depth/{}", "train_masks/{}"),
    "COME15K": ("imgs_right/{}", "depths/{}", "gt_right/{}"),
    "plural": ("images/{}", "depths/{}", "labels/{}"),
    "upper case": ("IMAGES/{}", "DEPTH/{}", "GTS/{}"),
    "two words": ("RGB_images/{}", "Depth-Maps/{}", "GroundTruth/{}"),
    "VOC": ("JPEGImages/{}", "disparity/{}", "Annotations/{}"),
    "left view": ("left/{}", "depth/{}", "masks/{}"),
    "suffixes in folders": ("RGB/{}", "depth/{}_Depth", "GT/{}_GT"),
    "suffix of one folder alone": ("RGB/{}", "depth/{}", "GT/{}-mask"),
    "suffix of the images": ("RGB/{}_rgb", "depth/{}", "GT/{}"),
    "prefixes": ("images/img_{}", "depth/depth_{}", "labels/label_{}"),
    "prefix in all, as their name": ("RGB/image_{}", "depth/image_{}", "GT/image_{}"),
    "flat": ("{}", "{}_depth", "{}_gt"),
    "flat, all marked": ("{}_rgb", "{}_depth", "{}_mask"),
    "flat, marked in front": ("rgb-{}", "depth-{}", "gt-{}"),
    "masks beside the images": ("RGB/{}", "depth/{}", "RGB/{}_gt"),
    "all in the folder of images": ("images/{}", "images/{}_depth", "images/{}_mask"),
    "images beside the folders": ("{}", "depth/{}", "GT/{}"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_read_by_module_and_check(folders, name):
    folder = folders.add("mine", stems=("001", "002", "003"))
    arrange(folder, *LAYOUTS[name])
    samples = pair_files("mine", folder)
    assert len(samples) == 3
    # In the order of the numbers, each with its own files.
    for number, sample in enumerate(samples, 1):
        assert all(f"{number:03}" in path.name for path in (sample.rgb, sample.depth, sample.mask))
    report = check_root(folders.root)
    (seen,) = report.datasets
    assert seen.dataset.label == "mine" and len(seen.samples) == 3
    assert [sample.name for sample in seen.samples] == [sample.name for sample in samples]
    assert not [f for f in report.findings if f.is_error]


def test_images_that_happen_to_end_like_a_role_stay_images(folders):
    folder = folders.add("mine", stems=("cat_d", "dog_gt", "cow_T"))
    shutil.rmtree(folder / "depth")
    samples = pair_files("mine", folder, modalities=("rgb",))
    assert [sample.name for sample in samples] == ["cat_d", "cow_T", "dog_gt"]


@pytest.mark.parametrize("layout", ["{kind}/{split}", "{split}_{kind}", "{split}/{kind}"])
def test_several_sets_in_one_folder_either_way_round(folders, layout):
    for split, stems in (("train", ("a", "b")), ("test", ("c",))):
        made = folders.add(f"made_{split}", stems=stems)
        for name in ("RGB", "depth", "GT"):
            target = folders.root / "mine" / layout.format(kind=name, split=split)
            target.parent.mkdir(parents=True, exist_ok=True)
            (made / name).rename(target)
        made.rmdir()
    assert [s.name for s in pair_files("x", folders.root / "mine" / "train")] == ["a", "b"]
    (sample,) = pair_files("x", folders.root / "mine" / "test")
    assert (sample.rgb.name, sample.mask.name) == ("c.jpg", "c.png")
    seen = {
        s.dataset.label: (s.dataset.split, len(s.samples))
        for s in check_root(folders.root).datasets
    }
    assert seen == {"mine/train": ("train", 2), "mine/test": ("test", 1)}
    if layout != "{split}/{kind}":
        with pytest.raises(DataError, match=r"2 data sets \(test, train\), .* such as .*mine/test"):
            pair_files("x", folders.root / "mine")


def test_both_views_of_a_stereo_pair_are_ambiguous_unless_depth_has_a_side(folders):
    folder = folders.add("mine")
    arrange(folder, "img_left/{}", "depth/{}", "gt_left/{}")
    for name in ("img", "gt"):
        shutil.copytree(folder / f"{name}_left", folder / f"{name}_right")
    with pytest.raises(DataError, match="img_left and img_right both hold RGB images"):
        pair_files("mine", folder)
    (folder / "depth").rename(folder / "depth_right")
    assert {s.rgb.parent.name for s in pair_files("mine", folder)} == {"img_right"}


def test_own_names_have_precedence_over_weak_ones(folders):
    folder = folders.add("mine")
    for name in ("labels", "left", "disparity"):
        (folder / name).mkdir()
    assert {s.mask.parent.name for s in pair_files("mine", folder)} == {"GT"}


@pytest.mark.parametrize(
    ("second", "name"), [("thermal", "Thermal"), ("thermal", "t"), ("nir", "nir")]
)
def test_a_second_modality_is_known_by_any_of_its_names(folders, second, name):
    folder = folders.add("mine")
    (folder / "depth").rename(folder / name)
    assert len(pair_files("mine", folder, second_modality=second)) == 3
    (seen,) = check_root(folders.root).datasets
    assert len(seen.samples) == 3 and not seen.is_depth


def test_a_set_of_depth_and_thermal_is_read_as_either(folders):
    folder = folders.add("mine")
    shutil.copytree(folder / "depth", folder / "T")
    assert pair_files("mine", folder)[0].depth.parent.name == "depth"
    assert pair_files("mine", folder, second_modality="thermal")[0].depth.parent.name == "T"


@pytest.mark.parametrize("extension", ["PNG", "pgm", "webp", "TIFF"])
def test_formats_of_depth(folders, extension):
    folder = folders.add("mine")
    for path in (folder / "depth").iterdir():
        image = np.asarray(Image.open(path))
        image = image if extension == "webp" else image.astype(np.uint16) * 100
        options = {"lossless": True} if extension == "webp" else {}
        path.unlink()
        Image.fromarray(image).save(path.with_suffix(f".{extension}"), **options)
    (seen,) = check_root(folders.root).datasets
    assert len(pair_files("mine", folder)) == len(seen.samples) == 3
    assert list(seen.depth_modes) == [{"webp": "RGB"}.get(extension, "16-bit")]


def four_channels(folder, values=None):
    for path in (folder / "RGB").iterdir():
        thermal = np.asarray(Image.open(folder / "depth" / f"{path.stem}.png")).copy()
        image = Image.open(path)
        image.putalpha(Image.fromarray(thermal if values is None else values(thermal)))
        image.save(path.with_suffix(".png"))
        path.unlink()
    shutil.rmtree(folder / "depth")
    (folder / "RGB").rename(folder / "images")
    return folder


def test_the_second_modality_may_be_a_fourth_channel(folders):
    folder = four_channels(folders.add("mine"))
    sample = pair_files("mine", folder)[0]
    assert sample.rgb == sample.depth
    report = check_root(folders.root)
    (finding,) = [f for f in report.findings if f.kind == "content"]
    assert "fourth channel" in finding.message and not report.num_errors
    assert len(report.datasets[0].samples) == 3 and not report.datasets[0].is_depth


@pytest.mark.parametrize("values", [np.ones_like, lambda x: (x > 100) * np.uint8(255)])
def test_transparency_is_no_second_modality(folders, values):
    folder = four_channels(folders.add("mine"), values)
    with pytest.raises(DataError, match="no folder depth"):
        pair_files("mine", folder)


def test_what_cannot_be_paired_is_one_message_that_says_what_differs(folders):
    folder = folders.add("mine", stems=("001", "002", "003", "004"))
    arrange(folder, "RGB/{}", "depth/d{}x", "GT/{}")
    errors = [f for f in check_root(folders.root).findings if f.is_error]
    assert len(errors) == 1
    assert "no stem is the same in RGB/, depth/, GT/" in errors[0].message
    assert "depth/: d001x, d002x, d003x and 1 more" in errors[0].message
    assert "rename" in errors[0].message
    with pytest.raises(DataError, match="no stem is the same in RGB/, depth/, GT/"):
        pair_files("mine", folder)


def test_all_that_is_missing_is_named_in_one_message_and_listed(folders):
    folder = folders.add("mine", stems=tuple(f"{number:03}" for number in range(30)))
    for number in range(25):
        (folder / "depth" / f"{number:03}.png").unlink()
    (error,) = [f for f in check_root(folders.root).findings if f.is_error]
    assert "25 of 30 stem(s) of RGB/ missing in depth/ (000, 001," in error.message
    assert "019 and 5 more)" in error.message and len(error.files) == 25


def test_findings_alike_of_many_files_are_one(folders):
    folder = folders.add("mine", stems=tuple("abcdef"))
    for path in list((folder / "GT").iterdir())[:5]:
        Image.fromarray(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64) % 3).save(path)
    (error,) = [f for f in check_root(folders.root).findings if f.kind == "content"]
    assert "not a binary mask" in error.message and "and 1 more)" in error.message
    assert len(error.files) == 5


def test_a_root_without_data_says_what_is_there(folders):
    (folders.root / "stuff" / "inner").mkdir(parents=True)
    with pytest.raises(DataError, match="no data set found.*_depth.*Found in .*: stuff"):
        check_root(folders.root)


@pytest.mark.parametrize(
    "name",
    ["unfilled_depth", "predictions", "maps", "train", "depth_re", "RGBD", "001", "edges", "data"],
)
def test_names_that_say_nothing(name):
    assert read_name(name) is None


@pytest.mark.parametrize("stem", ["001D", "scene_1", "depth", "2_20", "my_image_3", "RGBD_data_1"])
def test_stems_that_say_nothing(stem):
    assert split_stem(stem) == (stem, None)


def test_the_cases_as_distributed(shared):
    root = shared / "cases" / "layouts_not_found"
    report = check_root(root)
    assert {s.dataset.label: len(s.samples) for s in report.datasets} == {
        "come/train": 4,
        "dut/train_data": 4,
        "flat/Mine": 4,
        "mfnet/MFNet": 4,
        "pgm/Mine": 4,
        "suffix/Mine": 4,
    }
