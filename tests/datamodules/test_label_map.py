"""What values of label images mean, and maps that are none."""

from pathlib import Path

import pytest

from datamodules.label_map import named_label_maps, read_label_map
from mutualformer.errors import UserError


def test_the_maps_of_public_data_sets() -> None:
    nyu, from_0 = read_label_map("nyu40"), read_label_map("nyu40_from_0")
    assert nyu.classes == from_0.classes and nyu.num_classes == 40
    assert nyu.table[[0, 1, 33, 40, 41, 255]].tolist() == [255, 0, 32, 39, 254, 254]
    assert nyu.classes[32] == "toilet"
    assert from_0.table[[0, 39, 40, 255]].tolist() == [0, 39, 254, 255]
    assert nyu.colours == from_0.colours and nyu.colours[0] == (128, 0, 0)
    assert [read_label_map(x).num_classes for x in ("sun37", "mfnet", "pst900")] == [37, 9, 5]
    assert read_label_map("mfnet").table[[0, 8, 9]].tolist() == [0, 8, 254]
    assert all(len(set(read_label_map(name).colours)) > 1 for name in named_label_maps())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": ["a"]}, "classes holds 1 names, expected 2"),
        ({"classes": ["a", "b", "a"]}, "two classes are called 'a'"),
        ({"classes": ["floor mat", "floor_mat"]}, "two classes are called 'floor mat'"),
        ({"classes": ["a", True]}, "a class is called True, .*quote yes, no"),
        ({"classes": ["a", "<b>"]}, "a class is called '<b>'"),
        ({"classes": ["a", "b"], "void": 1}, "void is 1, which is class b with offset 0"),
        ({"classes": ["a", "b"], "void": -1}, "void is -1, expected an integer from 0"),
        ({"classes": ["a", "b"], "offset": "1"}, "offset is '1', expected an integer"),
        ({"classes": ["a", "b"], "colours": [[1, 2, 3]]}, "colours holds 1 colours for 2 classes"),
        ({"classes": ["a", "b"], "colours": [1, 2]}, "expected a list of three numbers"),
        ({"classes": "a b"}, "classes is 'a b', expected a list"),
        ({"classes": ["a", "b"], "ignore": 255}, "has the key ignore, expected some of classes"),
        ({"classes": [f"c{x}" for x in range(254)]}, "classes holds 254 names, expected 2 to 253"),
        ({"classes": ["a", "b", "c"], "offset": 65534}, "offset is 65534 with 3 classes"),
        ({}, "classes is None, expected a list"),
    ],
)
def test_a_map_that_is_none_is_refused(content: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_label_map(content)


def test_a_map_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("classes: [pipe, crack]\nvoid: [0, 255]\noffset: 1\n")
    own = read_label_map(str(path))
    assert own.describe() == "values 1 to 2 are the 2 classes, 0 and 255 are void"
    for text, message in (("[", "cannot be read as YAML"), ("1", "holds no label map")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_label_map(str(path))
    with pytest.raises(UserError, match="expected one of nyu40, .*a YAML file"):
        read_label_map("nyu41")
