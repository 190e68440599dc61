"""The tutorials run from the first cell to the last, in a folder of their own."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHORTER = {
    "{values: [250]}": "{values: [2]}",
    "{values: [0, 1, 2]}": "{values: [0, 1]}",
    "{values: [cross_attention, mutualformer]}": "{values: [mutualformer]}",
    "SyntheticRGBDDataset(800,": "SyntheticRGBDDataset(160,",
    "steps_per_epoch=50": "steps_per_epoch=10",
}
MOST_BYTES = 300_000  # of a notebook with its pictures


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:  # minutes of training are for who reads it
        for written, shorter in SHORTER.items():
            cell.source = cell.source.replace(written, shorter)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
    printed = [out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", [])]
    assert "error:" not in "".join(printed)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_shows_what_it_printed_and_is_small(path: Path) -> None:
    text = path.read_text()
    assert '"image/png"' in text and len(text) < MOST_BYTES
    assert '"execution_count": null' not in text
    assert "Traceback" not in text and "/home/" not in text and "/tmp/" not in text
    assert "site-packages" not in text
