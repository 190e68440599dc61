import io
from pathlib import Path

import pytest
from PIL import Image

from datamodules.prepare import make_plan, open_source, write_plan


@pytest.fixture
def prepare(tmp_path):
    """Prepare a source into `tmp_path/prepared`; returns the files there with their contents."""

    def run(source: Path, split="test", dataset=None, within=None, **options) -> dict[str, bytes]:
        root = tmp_path / "prepared"
        opened = open_source(source, root)
        for prepared in make_plan(opened.list_files(), "SOURCE", dataset, split, within):
            write_plan(prepared, opened, root, "SOURCE", **options)
        return contents(root)

    return run


@pytest.fixture
def contents_of():
    return contents


def contents(root: Path) -> dict[str, bytes]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.fixture
def image_bytes():
    def make(format="PNG", size=(8, 6)):
        buffer = io.BytesIO()
        Image.new("L", size, 255).save(buffer, format)
        return buffer.getvalue()

    return make
