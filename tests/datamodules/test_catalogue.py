from collections import Counter

import pytest

from datamodules.catalogue import find_entry, is_near_dark, named_training_sets, read_catalogue
from datamodules.label_map import named_label_maps

ENTRIES = read_catalogue()
# Of the design document.
COUNTS = {
    "NJU2K": ((1485,), (500, 485)),
    "NLPR": ((700,), (300,)),
    "DUT-RGBD": ((800,), (400,)),
    "SIP": ((), (929,)),
    "STEREO": ((), (1000, 797)),
    "LFSD": ((), (100,)),
    "SSD": ((), (80,)),
    "DES": ((), (135,)),
}


SEGMENTATION = {
    "NYUDepthv2": ("nyu40", {"train": (795,), "test": (654,)}),
    "SUN-RGBD": ("sun37", {"train": (5285,), "test": (5050,)}),
    "MFNet": ("mfnet", {"train": (784, 1176), "val": (392,), "test": (393,)}),
    "PST900": ("pst900", {"train": (597, 606), "test": (288,)}),
}


def test_all_data_sets_are_there_with_their_counts():
    thermal = {"VT821", "VT1000", "VT5000", "MFNet", "PST900"}
    others = {"ReDWeb-S", "COME15K"} | SEGMENTATION.keys()
    assert {entry.name for entry in ENTRIES} == COUNTS.keys() | others | thermal
    for entry in ENTRIES:
        assert entry.second_modality == ("thermal" if entry.name in thermal else "depth")
        if entry.name in COUNTS:
            train, test = COUNTS[entry.name]
            assert (entry.counts.get("train", ()), entry.counts["test"]) == (train, test)


def test_data_sets_with_classes_name_their_label_map():
    named = {e.name: (e.labels, e.counts) for e in ENTRIES if e.labels is not None}
    assert named == SEGMENTATION
    assert {labels for labels, _ in SEGMENTATION.values()} < named_label_maps().keys()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_says_where_it_comes_from(entry):
    assert entry.source.startswith("https://")
    assert entry.citation and entry.terms
    assert entry.near in ("bright", "dark", None)
    assert not (entry.near and entry.second_modality == "thermal")
    assert all(find_entry(name) is entry for name in (entry.name, *entry.aliases))


def test_no_name_means_two_data_sets():
    names = Counter(name.casefold() for e in ENTRIES for name in (e.name, *e.aliases))
    assert max(names.values()) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NJUD", "NJU2K"),
        ("NJU2K_TRAIN", "NJU2K"),
        ("STERE", "STEREO"),
        ("stereo-797", "STEREO"),
        ("RGBD135", "DES"),
        ("DUTLF-D", "DUT-RGBD"),
        ("DUT_RGBD testset", "DUT-RGBD"),
        ("VT5000-TE", "VT5000"),
    ],
)
def test_names_in_circulation(name, expected):
    assert find_entry(name).name == expected


@pytest.mark.parametrize("name", ["", "train", "NLPR2", "my_DES", "test"])
def test_names_of_no_known_data_set(name):
    assert find_entry(name) is None


def test_near_is_dark_in_des_and_ssd_and_where_depth_is_a_distance():
    dark = [entry.name for entry in ENTRIES if is_near_dark(entry.name)]
    assert dark == ["SSD", "DES", "NYUDepthv2", "SUN-RGBD"]


def test_named_training_sets_hold_as_many_pairs_as_they_are_called():
    for name, folders in named_training_sets().items():
        entries = [find_entry(folder.removeprefix("train/")) for folder in folders]
        assert sum(entry.counts["train"][0] for entry in entries) == int(name)
