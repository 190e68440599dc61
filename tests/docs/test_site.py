"""The documentation site builds without a warning, and has what was generated."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="sphinx is not installed")
    pytest.importorskip("myst_nb")
    pytest.importorskip("furo")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*command, str(REPOSITORY / "docs"), str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "reference" / "commands.html").read_text()
    for command in ("robustness", "data check", "draw affinities", "demo"):
        assert f"<h2>mutualformer {command}<" in commands
    assert "num_iterations" in (tmp_path / "reference" / "settings.html").read_text()
    python = (tmp_path / "reference" / "python.html").read_text()
    for name in ("cross_diffusion", "CMX", "RGBDSaliencyDataModule", "SaliencyModule"):
        assert name in python
    assert (tmp_path / "searchindex.js").is_file()
    for page in sorted((REPOSITORY / "docs").rglob("*.md")):
        shown = (tmp_path / page.relative_to(REPOSITORY / "docs")).with_suffix(".html").read_text()
        for picture in re.findall(r"!\[[^\]]*\]\([^)]*?([^/)]+)\)", page.read_text()):
            assert re.search(rf'src="[^"]*_images/{re.escape(picture)}"', shown), (page, picture)
