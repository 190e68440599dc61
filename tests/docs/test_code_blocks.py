"""What README and documents say can be typed, can: Python runs, commands and their files exist."""

import re
import shlex
from pathlib import Path

import pytest

from lightning_modules.main import OTHER_COMMANDS, TRAINER_COMMANDS
from lightning_modules.runs.shipped import find_shipped

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    REPOSITORY / "README.md",
    *(
        path
        for path in (REPOSITORY / "docs").rglob("*.md")
        if not {"project", "reference"} & {*path.parts}
    ),
]
NEEDS_A_RUN = "runs/quickstart/export"
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda x: str(x.relative_to(REPOSITORY)))


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.DOTALL | re.M)


@each_page
def test_python_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(path, "python"):
        if NEEDS_A_RUN not in block:  # which tests of the export make
            exec(compile(block, path.name, "exec"), names)


@each_page
def test_commands_and_their_files_exist(path: Path) -> None:
    indented = re.findall(r"^    mutualformer (?:.*\\\n)*.*$", path.read_text(), flags=re.M)
    lines = "\n".join(blocks(path, "sh") + indented).replace("\\\n", " ").splitlines()
    for line in lines:
        if "mutualformer " not in line or line.lstrip().startswith(("pip", "usage", "#")):
            continue
        words = shlex.split(line, comments=True)
        if "mutualformer" not in words:
            continue
        command, *rest = words[words.index("mutualformer") + 1 :]
        assert command in TRAINER_COMMANDS + OTHER_COMMANDS, line
        for word in rest:
            named = word.partition("=")[2] or word
            if named.startswith("experiments/"):
                assert find_shipped(REPOSITORY / named).is_file(), line
