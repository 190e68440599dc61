import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with one sound data set of three pairs."""
    generator = np.random.default_rng(0)
    for stem in "abc":
        mask = np.zeros((40, 50), bool)
        mask[10:30, 15:35] = True
        images = {
            "RGB": generator.integers(0, 256, (*mask.shape, 3), np.uint8),
            "depth": np.where(mask, 200, 20 + np.arange(50)).astype(np.uint8),
            "GT": mask.astype(np.uint8) * 255,
        }
        for name, image in images.items():
            (tmp_path / "data" / "[mine]" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "data" / "[mine]" / name / f"{stem}.png")
    return tmp_path / "data"


def test_sound_data_exits_with_0(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(data), "--workers=0"]) == 0
    output = capsys.readouterr().out
    assert "[mine]" in output and "bright (0.985, 3 images)" in output
    assert "Nothing to mend, 0 notice(s)." in output


def test_damage_exits_with_1_and_is_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = data / "[mine]" / "RGB" / "b.png"
    broken.write_bytes(b"")
    output, sheet = tmp_path / "out" / "check.json", tmp_path / "out" / "check.png"
    options = ["--workers=2", "--output", str(output), "--contact-sheet", str(sheet)]
    assert main(["data", "check", str(data), *options]) == 1
    text = capsys.readouterr().out
    assert f"error: {broken}: cannot be read as an image (the file is empty): replace" in text
    assert "1 error(s) to mend, 0 notice(s)." in text
    written = json.loads(output.read_text())
    assert written["num_errors"] == 1
    assert written["findings"][0]["kind"] == "unreadable"
    assert str(broken) in written["findings"][0]["message"]
    assert written["data_sets"][0]["num_pairs"] == 3
    with Image.open(sheet) as image:
        assert image.format == "PNG"


def test_only_the_first_findings_are_printed(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(60):
        (data / "[mine]" / "RGB" / f"{number}.txt").touch()
    assert main(["data", "check", str(data), "--workers=0"]) == 0
    output = capsys.readouterr().out
    assert output.count("notice:") == 40 and "and 20 more findings" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "required: ROOT"),
        (["check", "{root}/gone"], "gone: no such folder"),
        (["check", "{root}/data/[mine]/RGB"], "RGB: no data set found"),
        (["check", "{root}", "--output=check.txt"], "expected a file ending in .json"),
        (["check", "{root}", "--contact-sheet=a.jpg"], "expected a file ending in .png"),
        (["check", "{root}", "--workers=-1"], "expected an integer >= 0"),
        (["check", "{root}", "--work=1"], "unrecognized arguments"),
        (["check", "{root}", "--workers=0", "--output=/proc/a/b.json"], "cannot be written"),
        (["repair"], "unknown subcommand 'repair', expected one of list, check, prepare"),
    ],
)
def test_mistakes_exit_with_2(
    data: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.replace("{root}", str(data.parent)) for argument in arguments]
    try:
        code: object = main(["data", *arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert words in capsys.readouterr().err


def test_list_prints_and_writes_the_catalogue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list", "--output", str(tmp_path / "list.json")]) == 0
    output = capsys.readouterr().out
    for words in ("NJU2K", "NJUD", "1485", "500 (485)", "RGBD135", "dark", "thermal", "ICIP"):
        assert words in output
    entries = json.loads((tmp_path / "list.json").read_text())["data_sets"]
    assert len(entries) == 17
    assert entries[0]["counts"] == {"train": [1485], "test": [500, 485]}


@pytest.mark.parametrize("arguments", [["data"], ["data", "check"], ["data", "list"]])
def test_help_does_not_import_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from lightning_modules.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'rich'} & sys.modules.keys()"
    )
    command = [sys.executable, "-c", program, *arguments, "--help"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "usage: mutualformer data" in finished.stdout


def test_check_imports_nothing_that_only_trains(data: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from lightning_modules.main import main\n"
        "code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'lightning', 'torchvision', 'scipy', 'timm', 'matplotlib'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys(); sys.exit(code)"
    )
    outputs = [f"--output={tmp_path}/check.json", f"--contact-sheet={tmp_path}/check.png"]
    command = [sys.executable, "-c", program, "data", "check", str(data), *outputs]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_a_reader_that_has_enough_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "lightning_modules.main", "data", "list"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert result.stderr == "" and result.returncode == 0
