import os

import pytest

from datamodules import DataError
from datamodules.prepare import make_plan, open_source


def plan_of(path, **options):
    return make_plan(open_source(path, path / "out").list_files(), "SOURCE", **options)


def folders_of(plan):
    return [(prepared.folder, prepared.num_samples) for prepared in plan]


def test_names_and_splits_are_those_of_folders(folders):
    for name in ("train/NLPR", "NJU2K/Test", "test/NLPR"):
        folders.add(name, ("a", "b"))
    folders.add("predictions/NLPR", ("a",), masks=False).joinpath("depth").rename(
        folders.root / "elsewhere"
    )
    plan = plan_of(folders.root)
    assert folders_of(plan) == [("test/NJU2K", 2), ("test/NLPR", 2), ("train/NLPR", 2)]
    assert folders_of(plan_of(folders.root / "train/NLPR")) == [("train/NLPR", 2)]
    assert folders_of(plan_of(folders.root, within="NJU2K")) == [("test/NJU2K", 2)]
    assert folders_of(plan_of(folders.root, within="NJU2K", dataset="NJUD", split="train")) == [
        ("train/NJUD", 2)
    ]


def test_output_in_the_source_is_no_part_of_it(folders):
    folders.add("test/NLPR")
    folders.add("out/test/NLPR")
    assert folders_of(plan_of(folders.root)) == [("test/NLPR", 3)]


def test_links_that_lead_in_a_circle(folders):
    folder = folders.add("test/NLPR")
    os.symlink(folders.root, folder / "loop")
    assert folders_of(plan_of(folders.root)) == [("test/NLPR", 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "NJU2K.: cannot tell whether this is for training or for testing.*--split train"),
        ({"split": "test", "dataset": "a/b"}, "--dataset is 'a/b', expected a name"),
        ({"split": "test", "dataset": "NLPR"}, "would both become test/NLPR.*--within"),
        ({"split": "test", "within": "SIP"}, "SIP in SOURCE: no data set; expected folders of"),
    ],
)
def test_what_cannot_be_told(folders, options, message):
    folders.add("NJU2K")
    folders.add("NLPR")
    with pytest.raises(DataError, match=message):
        plan_of(folders.root, **options)


def test_samples_without_a_partner(folders):
    folder = folders.add("test/NLPR")
    (folder / "depth/b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 samples have no depth image \(b\)"):
        plan_of(folders.root)


def test_two_files_of_one_stem(folders):
    folder = folders.add("test/NLPR")
    (folder / "depth/b.bmp").write_bytes(b"")
    with pytest.raises(DataError, match=r"b\.png and .*b\.bmp are both the depth image of b"):
        plan_of(folders.root)


def test_two_folders_of_one_kind(folders):
    folder = folders.add("test/NLPR", ("a",))
    (folder / "gt").mkdir()
    (folder / "gt/a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"(GT|gt)/a\.png are both the GT image of a"):
        plan_of(folders.root)


def test_stems_that_differ_in_capitals(folders):
    folders.add("test/NLPR", ("a", "A"))
    with pytest.raises(DataError, match="A and a differ in capitals alone"):
        plan_of(folders.root)


def test_image_that_is_no_file(folders):
    folder = folders.add("test/NLPR")
    os.mkfifo(folder / "RGB/d.png")
    with pytest.raises(DataError, match=r"RGB/d\.png: expected a file"):
        plan_of(folders.root)
    (folder / "RGB/d.png").unlink()
    os.symlink("nowhere", folder / "RGB/d.png")
    with pytest.raises(DataError, match=r"RGB/d\.png: cannot be read \(No such file"):
        plan_of(folders.root)


def test_sources_that_are_none(tmp_path):
    (tmp_path / "a.rar").touch()
    with pytest.raises(DataError, match=r"a\.rar: expected a folder, an archive"):
        open_source(tmp_path / "a.rar", tmp_path)
    with pytest.raises(DataError, match="gone: no such file or folder"):
        open_source(tmp_path / "gone", tmp_path)
