"""What is said about the working tree that a result came from."""

import subprocess
from pathlib import Path

import pytest

from lightning_modules.runs import git as asked
from lightning_modules.runs import provenance


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of a git repository that holds what looks like this package."""
    folder = tmp_path / "repository"
    (folder / "package").mkdir(parents=True)
    source = folder / "package" / "provenance.py"
    source.write_text("first\n")
    monkeypatch.setattr(asked, "__file__", str(source))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return source


def test_commit_and_changes(source: Path) -> None:
    commit = git(source.parent, "rev-parse", "HEAD")
    assert provenance.git_state() == {"commit": commit, "dirty": False}
    assert provenance.git_changes() is None
    source.write_text("second\n")
    assert provenance.git_state() == {"commit": commit, "dirty": True}


def test_the_patch_brings_the_changes_back(source: Path, tmp_path: Path) -> None:
    source.write_text("second\n")
    (tmp_path / "code.diff").write_bytes(provenance.git_changes() or b"")
    git(source.parent, "checkout", "-q", ".")
    assert source.read_text() == "first\n"
    git(source.parents[1], "apply", str(tmp_path / "code.diff"))
    assert source.read_text() == "second\n"


def test_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_state() is None
    assert provenance.git_changes() is None
