"""Two processes write what one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lightning_modules.callbacks import PerImageScoresWriter, PredictionWriter, ResultsWriter
from lightning_modules.metrics.per_image_files import read_per_image_scores

SCRIPT = Path(__file__).with_name("two_processes.py")


def run_two_processes(folder):
    # The parent's distributed settings, if any, are not the child's.
    ours = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["PYTHONPATH"] = str(SCRIPT.parents[3])
    finished = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout + finished.stderr


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path, trainer, module, loader):
    one, two = tmp_path, tmp_path / "two"
    run = trainer(PredictionWriter(), ResultsWriter(), PerImageScoresWriter())
    run.test(module, loader("A", 8), verbose=False)
    run.predict(module, loader("A", 5, has_mask=False))
    output = run_two_processes(two)

    expected, actual = (json.loads((folder / "results.json").read_text()) for folder in (one, two))
    assert actual["world_size"] == 2
    assert actual["num_images"] == expected["num_images"] == {"A": 8}
    assert actual["scores"]["A"] == expected["scores"]["A"]
    tables = [(folder / "per_image_scores.csv").read_text() for folder in (one, two)]
    assert tables[0] == tables[1] and tables[0].count("\n") == 9
    expected, actual = (
        read_per_image_scores(folder / "per_image_scores.csv").counts for folder in (one, two)
    )
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    for folder in (one, two):
        maps = sorted(path.name for path in (folder / "predictions/A").iterdir())
        assert maps == [f"image_{index}.png" for index in range(5)]
    for path in (one / "predictions/A").iterdir():
        assert path.read_bytes() == (two / "predictions/A" / path.name).read_bytes()
    assert output.count("Wrote 5 predictions to") == 1
    assert output.count("Results: ") == 1
    assert (two / "contact_sheet_test.png").is_file()
    assert (two / "contact_sheet_predict.png").is_file()
