"""What Parquet files hold, and what they become."""

import io
import sys

import pytest
from PIL import Image

from datamodules import DataError


def test_rows_become_files(write, rows, prepare, tmp_path, image_bytes):
    write(rows("a", "NLPR/b.jpg"), "NLPR/train-00000-of-00002.parquet")
    write(rows("c.d"), "NLPR/train-00001-of-00002.parquet")
    write(rows("e"), "SIP/test-00000-of-00001.parquet")
    files = prepare(tmp_path / "hub", split=None)
    stems = {"train/NLPR": ("a", "b", "c.d"), "test/SIP": ("e",)}
    expected = {
        f"{folder}/{name}"
        for folder, names in stems.items()
        for name in [f"{kind}/{stem}" for stem in names for kind in ("RGB", "depth", "GT")]
    }
    assert {n.rpartition(".")[0] for n in files} == expected
    assert files["train/NLPR/RGB/c.d.jpg"] == image_bytes("JPEG")
    assert files["test/SIP/depth/e.png"] == image_bytes("PNG")
    assert prepare(tmp_path / "hub", split=None) == files


def test_hidden_folders_are_no_source(write, rows, prepare, tmp_path):
    write(rows("a"), ".cache/NLPR/test-00000-of-00001.parquet")
    write(rows("b"), "NLPR/test-00000-of-00001.parquet")
    assert set(prepare(tmp_path / "hub")) == {
        *("test/NLPR/GT/b.png", "test/NLPR/RGB/b.jpg", "test/NLPR/depth/b.png")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": None}, "SIP.parquet: cannot tell whether this is for training .*--split train"),
        ({"dataset": "a/b"}, "--dataset is 'a/b', expected a name"),
        ({"dataset": "NLPR"}, "would both become test/NLPR.*one at a time"),
    ],
)
def test_what_cannot_be_told(write, rows, prepare, tmp_path, options, message):
    write(rows("a"), "LFSD/SIP.parquet")
    write(rows("a"), "NJU2K/NLPR.parquet")
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "hub", **options)
    assert not (tmp_path / "prepared").exists()


def test_one_of_several_data_sets(write, rows, prepare, tmp_path):
    write(rows("a"), "x/LFSD/test.parquet")
    write(rows("b"), "x/SIP/test.parquet")
    assert "test/SIP/GT/b.png" in prepare(tmp_path / "hub/x/SIP", dataset="SIP")
    assert not (tmp_path / "prepared/test/LFSD").exists()


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz", "folder"])
def test_what_is_no_parquet_file_is_told_what_to_do(prepare, tmp_path, name):
    (tmp_path / "folder" / "RGB").mkdir(parents=True)
    (tmp_path / "set.zip").touch()
    (tmp_path / "set.tar.gz").touch()
    with pytest.raises(DataError, match=f"{name}: no .parquet file, .*unzip .*data check FOLDER"):
        prepare(tmp_path / name)
    with pytest.raises(DataError, match="gone: no such file or folder"):
        prepare(tmp_path / "gone")


def test_hub_convention_does_not_tell_the_data_set(write, rows, prepare):
    path = write(rows("a"))
    with pytest.raises(DataError, match="cannot tell which data set this is: give --dataset"):
        prepare(path, split=None)
    assert "train/NLPR/GT/a.png" in prepare(path, split=None, dataset="NLPR")


def test_bytes_without_a_struct(write, rows, prepare, image_bytes):
    path = write(rows("a", depth=image_bytes("BMP")))
    assert prepare(path, dataset="NLPR")["test/NLPR/depth/a.bmp"] == image_bytes("BMP")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt": None}, "row 0, gt of a: holds no image, expected its bytes"),
        ({"rgb": {"bytes": None, "path": "a.jpg"}}, "row 0, rgb of a: holds no image"),
        (
            {"depth": {"bytes": b"GIF89a", "path": ""}},
            r"row 0, depth of a: cannot be decoded \(it is",
        ),
        ({"depth": {"bytes": b"404 not found", "path": ""}}, r"depth of a: .* \(it is no image\)"),
        ({"name": ".."}, r"row 0: its name is '\.\.', expected the name of an image"),
        ({"name": "..\\a"}, "row 0: its name is"),
        ({"name": 7}, "row 0: its name is 7"),
        ({"name": "a\nb"}, r"row 0: its name is 'a\\nb'"),
    ],
)
def test_rows_that_are_wrong(write, rows, prepare, contents_of, tmp_path, changes, message):
    path = write(rows("a", **changes))
    with pytest.raises(DataError, match=message):
        prepare(path, dataset="NLPR")
    assert not (tmp_path / "prepared").exists()


def test_name_leads_nowhere(write, rows, prepare, tmp_path):
    files = prepare(write(rows("../../../evil")), dataset="NLPR")
    assert "test/NLPR/RGB/evil.jpg" in files
    assert not list(tmp_path.parent.glob("evil*"))


def test_cut_image_bytes(write, rows, prepare, image_bytes):
    content = image_bytes("BMP", (64, 64))[:-1000]
    path = write(rows("a", depth={"bytes": content, "path": "a.bmp"}))
    with pytest.raises(DataError, match="row 0, depth of a: cannot be decoded .*truncated"):
        prepare(path, dataset="NLPR")


def test_an_image_of_another_format(write, rows, prepare, image_bytes):
    path = write(rows("a", gt=image_bytes("GIF")))
    with pytest.raises(
        DataError, match=r"gt of a: an image in GIF, expected BMP, JPEG, MPO, PNG, TIFF"
    ):
        prepare(path, dataset="NLPR")


def test_header_that_claims_too_many_pixels(write, rows, prepare):
    bomb = io.BytesIO()
    Image.new("1", (20000, 20000)).save(bomb, "PNG")
    with pytest.raises(DataError, match=r"gt of a: cannot be decoded \(.*decompression bomb"):
        prepare(write(rows("a", gt=bomb.getvalue())), dataset="NLPR")


@pytest.mark.parametrize("name", ["a", "A", "folder/a.jpg"])
def test_names_that_a_file_system_does_not_tell_apart(write, rows, prepare, name):
    path = write([*rows("a", "b"), *rows(name)])
    with pytest.raises(DataError, match="row 2 and .*row 0 are called [aA] and a, expected"):
        prepare(path, dataset="NLPR")


def test_missing_column(write, rows, prepare):
    table = [{key: value for key, value in row.items() if key != "gt"} for row in rows("a")]
    with pytest.raises(DataError, match=r"no column gt, expected .* \(found depth, rgb, name\)"):
        prepare(write(table), dataset="NLPR")


@pytest.mark.parametrize("keep", [0, 10, 0.5])
def test_damaged_file(write, rows, prepare, keep):
    path = write(rows(*map(str, range(20))))
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match=r"\.parquet: cannot be read .*: get the file anew"):
        prepare(path, dataset="NLPR")


def test_damage_in_the_middle(write, rows, prepare):
    path = write(rows(*map(str, range(20))))
    content = bytearray(path.read_bytes())
    content[200:1200] = bytes(1000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"\.parquet"):
        prepare(path, dataset="NLPR")


def test_pyarrow_is_missing(write, rows, prepare, monkeypatch):
    path = write(rows("a"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'mutualformer\[data\]'"):
        prepare(path, dataset="NLPR")
