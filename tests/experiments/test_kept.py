"""Results that come with the repository fill their tables in a fresh clone."""

import re
from pathlib import Path

import pytest

from lightning_modules.main import main
from lightning_modules.tables.kept_results import read_kept

REPOSITORY = Path(__file__).resolve().parents[2]
KEPT = sorted((REPOSITORY / "experiments" / "results").glob("*.jsonl"))
each_file = pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])


@each_file
def test_the_table_is_full_without_a_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where no run is
    table = path.parent.parent / "tables" / f"{path.stem}.yaml"
    outputs = [tmp_path / f"table{suffix}" for suffix in (".md", ".tex", ".csv", ".html")]
    options = [word for output in outputs for word in ("--output", str(output))]
    assert main(["table", str(table), "--format", "markdown", *options]) == 0
    task = path.stem.split("_")[0]
    score = {"probe": "accuracy", "seg": "miou"}.get(task, "mae")
    assert all(score in output.read_text().lower() for output in outputs)
    count = len(read_kept(path))
    printed = capsys.readouterr().out
    assert f"{count} of {count} runs: " in printed
    written = [output.read_text().replace("\\", "") for output in outputs]  # as some escape
    assert f"experiments/results/{path.name}" in written[0]
    assert not any(str(REPOSITORY) in text for text in written)
    cells = re.sub(r"\[.*?\]", "", printed.split("\n\n- ")[0])
    assert "–" not in cells and "Missing runs" not in printed


@each_file
def test_it_is_small_and_says_nothing_of_the_machine(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 1_000_000
    assert not re.search(r'"/(home|root|tmp|work|mnt|data)\b|hostname', text)
    for results in read_kept(path).values():
        assert results.git is not None and not results.git["dirty"]


@pytest.mark.parametrize("path", sorted(KEPT[0].parent.glob("*.json")), ids=lambda path: path.stem)
def test_scores_on_corrupted_images_are_shown_without_a_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    figure = tmp_path / "figure.png"
    assert main(["robustness", path.name, "--plot", str(figure)]) == 0  # found by name
    printed = capsys.readouterr().out
    assert f"Kept in experiments/results/{path.name}, tested at commit" in printed
    assert figure.is_file()
    text = path.read_text()
    assert len(text) < 1_000_000 and not re.search(r'"/|hostname', text)
