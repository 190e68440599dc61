"""Results that are part of the repository, beside the tables that show them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lightning_modules.tables import footnotes, stale
from lightning_modules.tables.kept_results import kept_path, read_kept

from .table_runs import cell, fill, rows_of, table, trial

COMMIT = {"commit": "c0ffee1" * 5 + "c0ffe", "dirty": False}


@pytest.fixture
def project(sweep_table: Path, write_run: Callable) -> Path:
    """Return a table in a folder of tables, whose four runs lie beside it."""
    tables = sweep_table.parent / "tables"
    tables.mkdir()
    for name in (sweep_table.name, "sweep.yaml"):
        shutil.copy(sweep_table.parent / name, tables)
    path = tables / sweep_table.name
    path.write_text(path.read_text() + "intervals: seeds\n")
    fill(sweep_table, write_run)
    return path


def runs_of(path: Path) -> Path:
    return path.parent.parent / "runs"


def test_a_clone_without_runs_shows_the_same_table(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_of(project)
    assert table(project, "--keep") == 0
    assert "the results of 4 runs" in capsys.readouterr().err
    shutil.rmtree(runs_of(project))
    assert rows_of(project) == before
    printed = capsys.readouterr().out
    assert f"4 of 4 runs: {kept_path(project)}" in printed and "missing" not in printed


def test_nothing_of_the_machine_is_kept(project: Path, write_run) -> None:
    config = {"data": {"root": "/disk/of/mine/NLPR", "near": ["~/x/DES", "relative/SIP"]}}
    write_run(trial(project.parent, "0", 1), seed=1, config=config)
    table(project, "--keep")
    kept = {name.split("/")[-1]: x for name, x in read_kept(kept_path(project)).items()}
    changed = kept["epsilon=0,seed_everything=1"].config["data"]
    assert changed == {"root": "NLPR", "near": ["DES", "relative/SIP"]}
    _, *lines = kept_path(project).read_text().splitlines()
    for line in lines:
        assert "checkpoint" not in json.loads(line)["results"]


def test_own_runs_take_their_place_and_are_marked(
    project: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    table(project, "--keep")
    shutil.rmtree(runs_of(project))
    write_run(trial(project.parent, "0", 1), noise={"SET": 20}, seed=1)
    note = cell(rows_of(project), "mae", epsilon="0")["note"]
    assert "Run here; the others come with the repository (seed 1)" in note
    assert "3 of 4 runs" in capsys.readouterr().out
    assert table(project, "--keep") == 0  # those kept before stay
    assert len(read_kept(kept_path(project))) == 4


def test_an_own_failure_is_not_hidden_by_what_was_kept(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(project, "--keep")
    folder = trial(project.parent, "0", 0)
    (folder / "results.json").unlink()
    (folder / "failure.json").write_text('{"reason": "diverged", "date": "2026"}')
    assert cell(rows_of(project), "mae", epsilon="0")["num_seeds"] == "1"
    assert "failed: diverged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:-1], "is incomplete or was edited: it holds 3 runs, expected 4"),
        (lambda lines: [x.replace('"mae": 0.', '"mae": 0.0') for x in lines], "was edited"),
        (lambda lines: lines[1:], "has no header of kept results"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "is damaged"),
        (lambda lines: [], "is damaged"),
    ],
)
def test_a_file_that_was_cut_or_edited_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], damage: Callable, words: str
) -> None:
    table(project, "--keep")
    path = kept_path(project)
    path.write_text("\n".join([*damage(path.read_text().splitlines()), ""]))
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        table(project)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_what_nobody_can_repeat_is_not_kept(
    project: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(trial(project.parent, "0", 1), seed=1, git={**COMMIT, "dirty": True})
    with pytest.raises(SystemExit) as caught:
        table(project, "--keep")
    assert caught.value.code == 2
    assert "made by code that is in no commit" in capsys.readouterr().err
    assert not kept_path(project).exists()


def test_keeping_another_sweep_under_this_name_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        table(project, "--keep", "--folder", "elsewhere")
    assert "--keep is of the sweep as it is defined" in capsys.readouterr().err


def test_changed_code_makes_a_result_stale(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = ["mutualformer/a.py", "b.py", "c.py", "d.py"]
    monkeypatch.setattr(footnotes, "changed_since", lambda run: changed * (run.planned.seed == 1))
    note = cell(rows_of(project), "mae", epsilon="0")["note"]
    stale = "Stale: since commit c0ffee1, mutualformer/a.py, b.py, c.py and 1 more changed (seed 1)"
    assert note == stale


def test_a_run_made_again_confirms_those_kept_of_its_former_commit(
    project: Path, write_run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = {"commit": "dead" * 10, "dirty": False}
    first, other = (trial(project.parent, "0", seed) / "results.json" for seed in (0, 1))
    other.write_text(json.dumps(json.loads(other.read_text()) | {"git": elsewhere}))
    table(project, "--keep")
    former = read_kept(kept_path(project))
    later = {"commit": "beef" * 10, "dirty": False}
    first.write_text(json.dumps(json.loads(first.read_text()) | {"git": later}))
    write_run(trial(project.parent, "0.6", 0), noise={"SET": 20}, seed=0, git=later)
    table(project, "--keep")
    kept = read_kept(kept_path(project))
    for folder, results in kept.items():
        name = folder.rpartition("/")[2]
        if name == "epsilon=0.6,seed_everything=0":  # other scores: it took the former one's place
            assert results.git == later and results.confirmed is None
        else:
            is_other_commit = name == "epsilon=0,seed_everything=1"
            assert results.git == former[folder].git
            assert (results.confirmed is None) == is_other_commit
    shutil.rmtree(runs_of(project))
    asked = []
    monkeypatch.setattr(footnotes, "changed_since", lambda run: asked.append(run) or [])
    table(project)
    said = (
        "epsilon=0,seed_everything=0 was made again at commit beefbee, and its scores are the same"
    )
    assert said in " ".join(capsys.readouterr().out.split())
    assert sum(stale.known_commit(run) == later["commit"] for run in asked) >= 3


def test_what_makes_all_results_stale_is_said_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(footnotes, "changed_since", lambda run: ["mutualformer/a.py"])
    assert all(row["note"] == "" for row in rows_of(project))
    stale = "Stale: since commit c0ffee1, mutualformer/a.py changed, on which all these runs depend"
    assert capsys.readouterr().out.count(stale) == 1
