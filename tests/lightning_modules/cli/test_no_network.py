"""No command opens a connection, unless asked for weights from the hub."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import yaml
from PIL import Image
from pyarrow import parquet

HERE = Path(__file__).parents[1]
TINY = HERE / "tiny.yaml"
# Whatever asks for a connection in Python, in this process and in those that it starts, raises.
GUARD = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        address = arguments[-1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        if event == "socket.connect" and isinstance(address, (str, bytes)):
            return  # between processes of this machine
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{event} {address}\\n")
        raise OSError(101, "Network is unreachable")

sys.addaudithook(refuse)
"""
RUN = """
import json, sys
from lightning_modules.main import main

codes = []
for arguments in json.loads(sys.argv[1]):
    try:
        codes.append(main(arguments))
    except SystemExit as error:
        codes.append(error.code)
print("exit codes", codes)
"""


def run(folder: Path, *commands: list[str]) -> tuple[str, list[str]]:
    """Run commands in a process without a network; return its output and what it tried."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(GUARD)
    attempts = folder / "attempts.txt"
    attempts.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(HERE.parents[1])]),
        "OMP_NUM_THREADS": "1",
        "ATTEMPTS": str(attempts),
        "HF_HOME": str(folder / "empty"),
        "TORCH_HOME": str(folder / "empty"),
    }
    finished = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    tried = attempts.read_text().splitlines() if attempts.exists() else []
    return finished.stdout + finished.stderr, tried


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a data set of four pairs."""
    generator = np.random.default_rng(0)
    for index in range(4):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 12 : 30 + index] = 255
        images = {
            "RGB": generator.integers(0, 256, (48, 64, 3), np.uint8),
            "depth": generator.integers(0, 256, (48, 64), np.uint8),
            "GT": mask,
        }
        for name, image in images.items():
            (tmp_path / "data" / "test" / "PAIRS" / name).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "data" / "test" / "PAIRS" / name / f"{index}.png"
            Image.fromarray(image).save(path)
    return tmp_path / "data"


def pack(folder: Path, file: Path) -> None:
    """Write the pairs of a data set as the hub's copy has them."""
    pairs = {
        column: [path.read_bytes() for path in sorted((folder / name).iterdir())]
        for column, name in (("rgb", "RGB"), ("depth", "depth"), ("gt", "GT"))
    }
    names = [path.name for path in sorted((folder / "GT").iterdir())]
    parquet.write_table(pyarrow.table({**pairs, "name": names}), file)


@pytest.mark.slow
def test_no_command_opens_a_connection(tmp_path: Path, data: Path) -> None:
    sweep = {
        "method": "grid",
        "parameters": {"model.network.fusion.epsilon": {"values": [0.0, 0.6]}},
        "command": ["mutualformer", "trial", "--folder", "runs", "--config", str(TINY), "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    (tmp_path / "table.yaml").write_text("title: T\nsweep: sweep.yaml\n")
    masks = str(data / "test" / "PAIRS" / "GT")
    pack(data / "test" / "PAIRS", tmp_path / "test.parquet")
    config = ["--config", "run/config.yaml"]
    commands = [
        ["fit", "--config", str(TINY), "--trainer.default_root_dir=run", "--test_after_fit=true"]
        + ["--data.num_workers=1"],
        ["validate", *config],
        ["test", *config],
        ["predict", *config],
        ["evaluate", "--predictions", masks, "--ground-truth", masks, "--output", "scores.md"]
        + ["--curves", "curves.png"],
        ["compare", "run", "run", "--resamples", "100"],
        ["sweep", "sweep.yaml", "--dry-run"],
        ["sweep", "sweep.yaml", "--status"],
        ["table", "table.yaml", "--output", "table.html"],
        ["data", "list"],
        ["data", "check", str(data), "--workers", "1", "--contact-sheet", "sheet.png"],
        ["data", "prepare", "test.parquet", "--output", "prepared", "--dataset", "PAIRS"],
    ]
    output, tried = run(tmp_path, *commands)
    assert f"exit codes {[0] * len(commands)}" in output, output
    assert (tmp_path / "run" / "results.json").is_file()
    assert tried == []


def test_weights_that_were_asked_for_are_fetched_or_missed_clearly(tmp_path: Path) -> None:
    command = ["fit", "--config", str(TINY), "--trainer.default_root_dir=run"]
    weights = "--model.network.encoder_weights=imagenet"
    output, tried = run(tmp_path, [*command, weights])
    assert tried and "exit codes [2]" in output
    (message,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "encoder_weights is 'imagenet'" in message and "cannot be reached" in message
    assert "Traceback" not in output and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_weights_that_a_checkpoint_replaces_are_not_asked_for(tmp_path: Path) -> None:
    config = ["--config", "run/config.yaml"]
    fit = ["fit", "--config", str(TINY), "--trainer.default_root_dir=run"]
    output, _ = run(tmp_path, fit)
    assert "exit codes [0]" in output, output
    saved = tmp_path / "run" / "config.yaml"
    assert saved.read_text().count("encoder_weights: null") == 1
    saved.write_text(saved.read_text().replace("_weights: null", "_weights: imagenet"))
    commands = [
        ["validate", *config],
        ["test", *config],
        ["predict", *config],
        ["cost", "run"],
        ["robustness", "run", "--corruption", "depth:blank", "--severities", "1"],
        ["draw", "affinities", "run", "--output", "affinities.png"],
        ["export", "run"],
        ["fit", *config, "--trainer.max_epochs=2"],
        ["test", *config],
        ["cost", str(TINY), "--model.network.encoder_weights=imagenet"],
    ]
    output, tried = run(tmp_path, *commands)
    assert f"exit codes {[0] * len(commands)}" in output, output
    assert tried == []
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    network = results["config"]["model"]["init_args"]["network"]["init_args"]
    assert network["encoder_weights"] == "imagenet"
    assert results["config"]["trainer"]["max_epochs"] == 2  # the run went on
