"""Where output cannot show a character, or nobody reads it, reports and exit codes stay."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.main import main

ENVIRONMENTS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets of three pairs: one is sound, one lacks a mask."""
    root = tmp_path_factory.mktemp("data")
    for index in range(3):
        mask = np.zeros((48, 64), np.uint8)
        mask[8:30, 12 : 40 + index] = 255
        rgb = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        for name, image in {"RGB": rgb, "depth": rgb[..., 0], "GT": mask}.items():
            (root / "SOUND" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "SOUND" / name / f"{index}.png")
    shutil.copytree(root / "SOUND", root / "DAMAGED")
    (root / "DAMAGED" / "GT" / "1.png").unlink()
    return root


def run(*arguments: str, environment: dict[str, str] | None = None, **options: int) -> tuple:
    command = [sys.executable, "-m", "lightning_modules.main", *arguments]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    finished = subprocess.run(command, env=os.environ | (environment or {}), timeout=60, **pipe)
    return finished.returncode, finished.stdout, finished.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_report_survives_with_stand_ins(name: str, data: Path) -> None:
    environment = ENVIRONMENTS[name]
    arguments = ["data", "check", str(data), "--workers=0"]
    code, output, errors = run(*arguments, environment=environment)
    assert code == 1 and b"Traceback" not in errors
    encoding = "latin-1" if name == "latin-1" else "ascii"
    text = output.decode(encoding)
    assert "DAMAGED" in text and "SOUND" in text
    # Widths are kept, so that columns stay below each other.
    size = "48 \xd7 64" if encoding == "latin-1" else "48 x 64"
    assert size in text or size.replace("48", "64", 1).replace("64", "48", 1) in text


@pytest.mark.parametrize("name", ["ascii"])
def test_scores_errors_and_names_survive(name: str, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Größe ↑"
    shutil.copytree(data / "SOUND" / "GT", folder)
    arguments = ["evaluate", f"--predictions={folder}", f"--ground-truth={folder}"]
    code, output, errors = run(*arguments, environment=ENVIRONMENTS[name])
    assert code == 0 and b"Traceback" not in errors
    assert b"1.000" in output and b"Gr??e ^" in output
    code, _, errors = run("compare", "ä", "b", environment=ENVIRONMENTS[name])
    assert code == 2 and errors.startswith(b"error: \\xe4: no such")


def test_a_training_s_table_survives(forked: type, small: list[str], tmp_path: Path) -> None:
    options = [f"--trainer.default_root_dir={tmp_path / 'ü'}", "--test_after_fit=true"]

    def inject() -> None:
        stream = open(os.dup(1), "w", encoding="ascii")  # noqa: SIM115
        sys.stdout = sys.__stdout__ = sys.stderr = sys.__stderr__ = stream

    finished = forked(["fit", *small, *options], inject).wait()
    assert finished.code == 0, finished.output
    assert "Scores" in finished.output and "?/results.json" in finished.output


@pytest.mark.parametrize(("name", "code"), [("SOUND", 0), ("DAMAGED", 1)])
def test_the_exit_code_is_that_of_the_findings_whoever_stops_reading(
    name: str, code: int, data: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        arguments = ["data", "check", str(data / name), "--workers=0"]
        assert run(*arguments, stdout=writing)[0] == code
        assert run(*arguments, stdout=writing, stderr=writing)[0] == code
    finally:
        os.close(writing)


def test_closed_outputs_are_no_defect(data: Path) -> None:
    command = f"{sys.executable} -m lightning_modules.main data list >&- 2>&-"
    assert subprocess.run(command, shell=True, timeout=60).returncode == 0


def test_outputs_that_others_look_after_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    assert main(["--version"]) == 0
    assert (sys.stdout, sys.stderr) == before
