"""A result is stale if code that it depends on means something else now."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_modules.runs import git as asked
from lightning_modules.tables import stale

CLASS = '"""A module."""\n\n\nclass MutualFormerBlock:\n    """A block."""\n\n    x = 1\n'


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository that has files of the names of ours."""
    for name in ("fusions/mutualformer_block.py", "fusions/concat.py", "ops/dense.py"):
        path = tmp_path / "mutualformer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CLASS if "block" in name else "y = 1\n")
    monkeypatch.setattr(stale, "_REPOSITORY", tmp_path)
    monkeypatch.setattr(asked, "__file__", str(tmp_path / "mutualformer" / "git.py"))
    files = sorted(
        x.relative_to(tmp_path).as_posix() for x in tmp_path.glob("mutualformer/f*/*.py")
    )
    monkeypatch.setattr(stale, "_module_files", lambda package: tuple(files))
    for remembered in (stale._defines, stale._changed_paths, stale._differs):
        remembered.cache_clear()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def run_of(repository: Path, **changes: Any) -> Any:
    config = {"fusion": {"class_path": "mutualformer.fusions.MutualFormerBlock"}}
    state = {"commit": git(repository, "rev-parse", "HEAD"), "dirty": False, **changes}
    return SimpleNamespace(results=SimpleNamespace(confirmed=None, git=state, config=config))


@pytest.mark.parametrize(
    ("name", "content", "is_stale"),
    [
        ("fusions/mutualformer_block.py", CLASS.replace("x = 1", "x = 2"), True),
        ("fusions/mutualformer_block.py", CLASS.replace("A block", "One") + "# more\n", False),
        ("fusions/concat.py", "y = 2\n", False),
        ("ops/dense.py", "y = 2\n", True),
        ("ops/dense.py", "y  =  1  # as before\n", False),
    ],
)
def test_what_counts_as_a_change(repository: Path, name: str, content: str, is_stale: bool) -> None:
    run = run_of(repository)
    assert stale.changed_since(run) == []
    (repository / "mutualformer" / name).write_text(content)
    for remembered in (stale._defines, stale._changed_paths, stale._differs):
        remembered.cache_clear()
    assert stale.changed_since(run) == [f"mutualformer/{name}"] * is_stale


@pytest.mark.parametrize("commit", ["0" * 40, "--output=x", None, "abc"])
def test_of_a_commit_that_is_not_known_nothing_is_said(repository: Path, commit: Any) -> None:
    assert stale.changed_since(run_of(repository, commit=commit)) == []


def test_what_trainings_are_made_of_is_there() -> None:
    """A file that is moved must not fall out of the comparison without a word."""
    root = Path(stale.__file__).resolve().parents[2]
    assert all((root / path).exists() for path in stale._ALWAYS)


def test_classes_of_this_repository_are_found_in_their_files() -> None:
    config = {"model": {"class_path": "lightning_modules.ProbeModule"}}
    assert set(stale._files(config)) == {"lightning_modules/probe_module.py"}


def test_a_digest_of_code_changes_with_what_counts_of_it(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stale, "_ALWAYS", ("mutualformer/ops",))
    (tmp_path / "datamodules").mkdir()
    users = tmp_path / "of_user"
    users.mkdir()
    (users / "net_of_user.py").write_text("from part_of_user import x\n")
    monkeypatch.syspath_prepend(users)
    config = {
        "network": {"class_path": "net_of_user.Net.small", "init_args": {}},
        "fusion": [{"class_path": "mutualformer.fusions.MutualFormerBlock"}],
    }

    def digest() -> str:
        stale._digest.cache_clear()
        stale._defines.cache_clear()
        return stale.code_digest(config)

    before = digest()
    block = repository / "mutualformer/fusions/mutualformer_block.py"
    block.write_text(CLASS.replace("A block", "One"))
    (repository / "mutualformer/fusions/concat.py").write_text("y = 2\n")
    assert digest() == before
    seen = {before}
    for path, content in (
        (block, CLASS.replace("x = 1", "x = 2")),
        (repository / "mutualformer/ops/more.py", "z = 1\n"),
        (repository / "datamodules/label_maps.yaml", "a: 1\n"),
        (users / "part_of_user.py", "x = 1\n"),
    ):
        path.write_text(content)
        seen.add(digest())
    assert len(seen) == 5
