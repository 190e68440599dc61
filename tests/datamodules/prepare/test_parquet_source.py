import sys

import pytest

from datamodules import DataError

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


@pytest.fixture
def rows(image_bytes):
    """Return rows as `datasets` stores columns of images."""

    def make(*names, **changes):
        images = {"depth": "PNG", "rgb": "JPEG", "gt": "PNG"}
        return [
            {key: {"bytes": image_bytes(kind), "path": None} for key, kind in images.items()}
            | {"name": name}
            | changes
            for name in names
        ]

    return make


@pytest.fixture
def write(tmp_path):
    def write(rows, name="data/train-00000-of-00001.parquet"):
        path = tmp_path / "hub" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
        return path

    return write


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
    assert {n.rpartition(".")[0] for n in files if "prepared.json" not in n} == expected
    assert files["train/NLPR/RGB/c.d.jpg"] == image_bytes("JPEG")
    assert files["test/SIP/depth/e.png"] == image_bytes("PNG")
    assert prepare(tmp_path / "hub", split=None) == files


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
        ({"depth": {"bytes": b"GIF89a", "path": ""}}, "row 0, depth of a: its bytes are no image"),
        ({"name": ".."}, r"row 0: its name is '\.\.', expected the name of an image"),
        ({"name": "..\\a"}, "row 0: its name is"),
        ({"name": 7}, "row 0: its name is 7"),
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


def test_names_that_occur_twice(write, rows, prepare):
    with pytest.raises(DataError, match="row 1, .* and .*row 0, .* are both the .* image of a"):
        prepare(write(rows("a", "a")), dataset="NLPR")


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
