"""The command: what it writes, and what it says of mistakes."""

import json
import sys

import pytest

from lightning_modules.main import main


def render(*arguments):
    """Run the command; returns its exit code."""
    try:
        return main(["data", "render", *map(str, arguments)])
    except SystemExit as stopped:
        return stopped.code


def test_writes_and_says_what(tmp_path, capsys):
    pytest.importorskip("pybullet", reason="needs pip install 'mutualformer[render]'")
    options = ["--num-train", 1, "--num-test", 1, "--image-size", "48,64", "--workers", 0]
    options += ["--likeness", 0.1, "--holes-rgb", 0, "--misalignment", 2, "--noise", 0]
    assert render(tmp_path / "a", *options) == 0
    assert "a: 1 training and 1 test scenes written" in capsys.readouterr().out
    said = json.loads((tmp_path / "a" / "scenes.json").read_bytes())
    expected = {"likeness": 0.1, "holes_rgb": 0.0, "misalignment": 2, "noise": 0.0}
    assert {name: said[name] for name in expected} == expected
    assert said["image_size"] == [48, 64]
    assert render(tmp_path / "a", *options) == 0
    assert "there already" in capsys.readouterr().out
    assert render(tmp_path / "a", *options, "--seed", 1) == 2
    assert "seed 0, expected 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gap", 2], "gap is 2.0, expected a number in [0, 1]"),
        (["--gap", "wide"], "argument --gap: 'wide', expected a number"),
        (["--noise", "nan"], "noise is nan"),
        (["--num-train", 0], "--num-train"),
        (["--num-distractors", 9], "num_distractors is 9"),
        (["--image-size", "64x64"], "--image-size"),
        (["--image-size", 8], "image_size is 8"),
        (["--holes-rgb", 0.6, "--holes-depth", 0.6], "at most .9 together"),
        (["--seed", -1], "--seed"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(options, message, tmp_path, capsys):
    assert render(tmp_path / "a", *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
    assert not list(tmp_path.iterdir())


def test_pybullet_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pybullet", None)
    assert render(tmp_path / "a") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.endswith("pip install 'mutualformer[render]'")
    assert not list(tmp_path.iterdir())
