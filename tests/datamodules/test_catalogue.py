from collections import Counter

import pytest

from datamodules.catalogue import find_entry, is_near_dark, named_training_sets, read_catalogue

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


def test_all_data_sets_are_there_with_their_counts():
    thermal = {"VT821", "VT1000", "VT5000"}
    assert {entry.name for entry in ENTRIES} == COUNTS.keys() | {"ReDWeb-S", "COME15K"} | thermal
    for entry in ENTRIES:
        assert entry.second_modality == ("thermal" if entry.name in thermal else "depth")
        if entry.name in COUNTS:
            train, test = COUNTS[entry.name]
            assert (entry.counts.get("train", ()), entry.counts["test"]) == (train, test)


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


def test_near_is_dark_in_des_and_ssd_alone():
    assert [entry.name for entry in ENTRIES if is_near_dark(entry.name)] == ["SSD", "DES"]


def test_named_training_sets_hold_as_many_pairs_as_they_are_called():
    for name, folders in named_training_sets().items():
        entries = [find_entry(folder.removeprefix("train/")) for folder in folders]
        assert sum(entry.counts["train"][0] for entry in entries) == int(name)
