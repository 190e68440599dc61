import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lightning_modules.main import main

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402


@pytest.fixture
def source(tmp_path):
    image = io.BytesIO()
    Image.new("L", (8, 6), 255).save(image, "PNG")
    column = [{"bytes": image.getvalue(), "path": None}] * 2
    table = pyarrow.table({"rgb": column, "depth": column, "gt": column, "name": ["a", "b"]})
    path = tmp_path / "downloads" / "SIP" / "data.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(table, path)
    return path.parent.parent


def data(*arguments):
    """Run the command; returns its exit code."""
    try:
        return main(["data", *map(str, arguments)])
    except SystemExit as stopped:
        return stopped.code


def test_writes_and_says_what(source, tmp_path, capsys):
    assert data("prepare", source, "--output", tmp_path / "data", "--split", "test") == 0
    assert "data/test/SIP: 2 samples, 6 files written, 0 there already" in capsys.readouterr().out
    assert (tmp_path / "data/test/SIP/depth/b.png").is_file()
    assert data("prepare", source, "--output", tmp_path / "data", "--split", "test") == 0
    assert "2 samples, 0 files written, 6 there already" in capsys.readouterr().out


def test_dry_run_lists_and_writes_nothing(source, tmp_path, capsys):
    root = tmp_path / "data"
    assert data("prepare", source, "--output", root, "--split", "test", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    origin = f"{source}/SIP/data.parquet: row 0, rgb of a"
    assert f"new\t{root}/test/SIP/RGB/a.png\t{origin}" in lines
    assert not root.exists()


def test_mistakes_end_with_a_message_and_exit_code_2(source, tmp_path, capsys):
    root = tmp_path / "data"
    assert data("prepare", source, "--output", root) == 2
    assert capsys.readouterr().err.startswith("error: ")
    taken = root / "test/SIP/GT/a.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"precious")
    assert data("prepare", source, "--output", root, "--split", "test") == 2
    assert (
        f"error: {taken} exists and differs from {source}/SIP/data.parquet"
        in capsys.readouterr().err
    )
    assert taken.read_bytes() == b"precious"
    assert data("prepare", source) == 2
    archive = tmp_path / "SIP.zip"
    archive.touch()
    capsys.readouterr()
    assert data("prepare", archive, "--output", root) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"error: {archive}: no .parquet file") and "unzip" in message
    assert data("paint") == 2
    assert "unknown subcommand 'paint'" in capsys.readouterr().err


def test_help_does_not_import_torch():
    code = (
        "import sys; from lightning_modules.main import main\n"
        "for words in (['data'], ['data', 'prepare'], ['data', 'render']):\n"
        "    try:\n"
        "        main([*words, '--help'])\n"
        "    except SystemExit:\n"
        "        pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert "prepare" in finished.stdout and "--dry-run" in finished.stdout
