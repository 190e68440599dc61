"""The fusion of one's own in docs/fusions.md, word for word: from the file to a comparison."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from lightning_modules.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
SECTION = (REPOSITORY / "docs" / "fusions.md").read_text().split("## A fusion of your own")[1]
CODE, SWEEP, TABLE, COMMANDS = re.findall(r"```\w+\n(.*?)```", SECTION, flags=re.DOTALL)


def test_it_takes_thirty_lines() -> None:
    assert sum(len(part.splitlines()) for part in (CODE, SWEEP, TABLE, COMMANDS)) <= 30


@pytest.mark.slow
def test_it_is_trained_tested_swept_tabled_and_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    for name, text in (("fusion.py", CODE), ("sweep.yaml", SWEEP), ("table.yaml", TABLE)):
        (tmp_path / f"my_{name}").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_fusion", raising=False)
    export, *commands = COMMANDS.splitlines()
    assert export == "export PYTHONPATH=."
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", str(REPOSITORY)]))
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "mutualformer"
        assert main(words) == 0, command
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if "my_fusion.Gate" in line or "gated" in line]
    assert "Missing runs" not in printed and "Made otherwise" not in printed
    assert any("my_fusion.Gate" in row and "–" not in row for row in rows)
    runs = [
        f"runs/gates/fusion.name={x},seed_everything=0" for x in ("gated_sum", "my_fusion.Gate")
    ]
    assert main(["compare", *runs, "--resamples", "100"]) == 0
    assert (tmp_path / "runs" / "smoke" / "results.json").is_file()
    assert "my_fusion.Gate" in (tmp_path / runs[1] / "config.yaml").read_text()
    monkeypatch.delitem(sys.modules, "my_fusion")
