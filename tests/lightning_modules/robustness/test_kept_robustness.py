"""Scores on corrupted images that were kept fill the table and the figure without a run."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from small_fit import fit

import lightning_modules.main as command_line
from lightning_modules.robustness import kept_robustness, measure_runs, robustness_file

WORDS = ["--corruption", "depth:noise", "rgb:blank", "--severities=0.5,1"]


def main(*words: object) -> int:
    try:
        return command_line.main(["robustness", *map(str, words)])
    except SystemExit as error:
        return int(str(error.code))


def say_of_the_code(path: Path, git: dict[str, object] | None) -> None:
    """Whoever runs the tests may have changes in the working tree, or none."""
    content = json.loads(path.read_text())
    content.pop("digest")
    content["git"] = git
    content["digest"] = robustness_file.digest_of_content(content)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs and what was kept of them, as table, figure and file."""
    root = tmp_path_factory.mktemp("kept")
    for name, width in (("a", 4), ("b", 8)):
        assert fit(root / "runs" / name, f"--model.network.width={width}", "--data.num_test=3") == 0
    assert main(root / "runs", *WORDS) == 0
    for name in "ab":
        path = root / "runs" / name / "robustness.json"
        say_of_the_code(path, {"commit": "0123456789" * 4, "dirty": False})
    outputs = [f"--output={root / 'table.csv'}", f"--plot={root / 'figure.svg'}"]
    assert main(root / "runs", *WORDS, *outputs, f"--keep={root / 'kept.json'}") == 0
    return root


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "kept.json", tmp_path))


def test_they_fill_the_same_table_and_draw_the_same_figure(
    made: Path, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [f"--output={tmp_path / 'table.csv'}", f"--plot={tmp_path / 'figure.svg'}"]
    assert main(kept, *outputs) == 0
    printed = capsys.readouterr().out
    assert f"Kept in {kept}, tested at commit 0123456." in " ".join(printed.split())
    assert "Stale" not in printed and "Wrote" not in printed.replace(f"Wrote {tmp_path}", "")
    assert (tmp_path / "table.csv").read_text() == (made / "table.csv").read_text()
    # But for ids and the date, which differ in every figure.
    paths = [
        [line for line in (folder / "figure.svg").read_text().splitlines() if line.startswith("L ")]
        for folder in (made, tmp_path)
    ]
    assert paths[0] == paths[1] and len(paths[0]) > 20


def test_nothing_in_them_is_of_a_machine(made: Path, kept: Path) -> None:
    text = kept.read_text()
    assert str(made) not in text and '"/' not in text and "ckpt" not in text
    (first, second) = json.loads(text)["configurations"]
    assert [first["label"], second["label"]] == ["width=4", "width=8"]
    assert first["runs"][0]["seed"] == 0


def test_some_of_them_may_be_asked_for(kept: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    assert main(kept, "--corruption=depth", "--severities=1", f"--output={table}") == 0
    rows = list(csv.DictReader(table.open()))
    assert [row["dataset"] for row in rows] == ["clean", "depth:noise"] * 2
    assert {row["metric"] for row in rows} == {"s_measure", "s_measure_at_1"}


def test_code_that_has_changed_since_is_said(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept_robustness, "code_digest", lambda config: "another")
    assert main(kept) == 0
    assert "Stale: code that 2 of 2 runs depend on has changed" in capsys.readouterr().out


def test_what_is_in_no_commit_is_not_kept(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(made / "runs" / "a", tmp_path / "a"))
    for git in (None, {"commit": "0" * 40, "dirty": True}):
        say_of_the_code(run / "robustness.json", git)
        assert main(run, *WORDS, f"--keep={tmp_path / 'kept.json'}") == 2
        assert "was made by code that is in no commit" in capsys.readouterr().err
        assert not (tmp_path / "kept.json").exists()


@pytest.mark.parametrize("git", [None, {"commit": "0" * 40, "dirty": True}])
def test_what_could_not_be_kept_is_not_measured_first(
    git: dict[str, object] | None,
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measure_runs, "git_state", lambda: git)
    run = Path(shutil.copytree(made / "runs" / "a", tmp_path / "a"))
    assert main(run, *WORDS, f"--keep={tmp_path / 'kept.json'}") == 0, "nothing is to be measured"
    (run / "robustness.json").unlink()
    assert main(run, *WORDS, f"--keep={tmp_path / 'more.json'}") == 2
    assert "--keep: the code here is in no commit" in capsys.readouterr().err
    assert not (run / "robustness.json").exists() and not (tmp_path / "more.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.json"], "absent.json: no such file, expected one that --keep wrote"),
        (["other.json"], "other.json holds no kept scores, expected a file that --keep wrote"),
        (["list.json"], "list.json holds no kept scores"),
        (["cut.json"], "cut.json is damaged"),
        (["edited.json"], "edited.json was edited; restore it"),
        (["kept.json", "kept.json"], "kept.json holds kept scores: give it alone"),
        (["kept.json", "runs"], "kept.json holds kept scores: give it alone"),
        (["kept.json", "--data.root=x"], "nothing is tested: leave out --data.root=x"),
        (["kept.json", "--keep=x.json"], "nothing is tested: leave out --keep x.json"),
        (["kept.json", "--corruption=depth:blur"], "--corruption is depth:blur, expected of what"),
        (["kept.json", "--severities=0.25"], "kept.json holds: 0.5, 1"),
        (["runs", "--keep=x.csv"], "expected a file ending in .json"),
    ],
)
def test_mistakes_in_one_line(
    words: list[str],
    message: str,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(kept.parent)
    text = kept.read_text()
    Path("other.json").write_text('{"scores": {}}')
    Path("list.json").write_text("[1]")
    Path("cut.json").write_text(text[:500])
    Path("edited.json").write_text(text.replace('"width=4"', '"width=5"'))
    Path("runs").mkdir()
    assert main(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and line.startswith("error:")
