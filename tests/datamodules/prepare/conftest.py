import io
from pathlib import Path

import pytest
from PIL import Image

from datamodules.prepare.unpack import make_plan, write_dataset

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


@pytest.fixture
def image_bytes():
    def make(format="PNG", size=(8, 6)):
        buffer = io.BytesIO()
        Image.new("L", size, 255).save(buffer, format)
        return buffer.getvalue()

    return make


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


@pytest.fixture
def prepare(tmp_path):
    """Prepare a source into `tmp_path/prepared`; returns the files there with their contents."""

    def run(source: Path, split="test", dataset=None) -> dict[str, bytes]:
        root = tmp_path / "prepared"
        for planned in make_plan(source, dataset, split):
            write_dataset(planned, root)
        return contents(root)

    return run


@pytest.fixture
def contents_of():
    return contents


def contents(root: Path) -> dict[str, bytes]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
