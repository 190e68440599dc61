"""Tables that show one value of a swept parameter per row, chosen on held-out training data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightning_modules.runs.results import ResultsError, read_results

from .table_runs import rows_of, table

SWEEP = """
method: grid
parameters:
  model.network.fusion.name: {values: [sum, concat]}
  model.optimizer.lr: {values: [0.001, 0.01, 0.1]}
  seed_everything: {values: [0, 1]}
command: [mutualformer, trial, --folder, RUNS, --config, base.yaml, "${args}"]
"""
TABLE = """
title: Tuned
sweep: sweep.yaml
metrics: [s_measure, mae]
choose: {parameter: lr, by: val/held_out/s_measure}
reference: {fusion.name: concat}
"""


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("RUNS", str(tmp_path / "runs")))
    (tmp_path / "table.yaml").write_text(TABLE)
    return tmp_path / "table.yaml"


@pytest.fixture
def fill(tuned: Path, write_run: Callable[..., Any]) -> Callable[..., None]:
    """Write the runs of a fusion with these held-out scores, by learning rate and seed.

    On test data, the larger learning rate is the better one.
    """

    def write(fusion: str, by: str = "val/held_out/s_measure", **scores: Any) -> None:
        for index, (rate, of_seeds) in enumerate(scores.items()):
            for seed, score in enumerate(of_seeds):
                if score is None:
                    continue
                folder = trial(tuned, fusion, rate.replace("_", "."), seed)
                known = {} if score == "unknown" else {"validation": {by: score}}
                write_run(folder, noise={"SET": 160 - 25 * index}, seed=seed, **known)

    return write


def trial(path: Path, fusion: str, rate: str, seed: int) -> Path:
    name = f"fusion.name={fusion},lr={rate},seed_everything={seed}"
    return path.parent / "runs" / name


def shown(path: Path) -> dict[str, tuple[str, str, str]]:
    """Return of every fusion the learning rate shown, the number of seeds and the note."""
    rows = [row for row in rows_of(path) if row["metric"] == "s_measure"]
    assert len({row["fusion.name"] for row in rows}) == len(rows)
    return {row["fusion.name"]: (row["lr"], row["num_seeds"], row["note"]) for row in rows}


def test_each_row_has_the_value_that_is_best_on_held_out_data(
    tuned: Path, fill: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fill("sum", **{"0.001": (0.7, 0.9), "0.01": (0.8, 0.7), "0.1": (0.1, 0.2)})
    fill("concat", **{"0.001": (0.7, 0.7), "0.01": (0.8, 0.7), "0.1": (0.1, 0.9)})
    assert shown(tuned) == {"sum": ("0.001", "2", ""), "concat": ("0.01", "2", "")}
    (best,) = (row for row in rows_of(tuned) if row["metric"] == "mae" if row["lr"] == "0.001")
    folders = [trial(tuned, "sum", "0.001", seed) for seed in (0, 1)]
    scores = [read_results(folder / "results.json").scores["SET"]["mae"] for folder in folders]
    assert float(best["value"]) == pytest.approx(sum(scores) / 2)
    assert best["difference"] and best["difference_low"]
    printed = capsys.readouterr().out
    assert "lr: of 0.001, 0.01, 0.1, that with the best mean of val/held_out/s_measure" in printed
    assert "no test score has a say in it" in printed
    assert "Missing runs" not in printed


def test_of_an_error_the_lowest_is_best(tuned: Path, fill: Callable[..., None]) -> None:
    for name in ("val/held_out/mae", "val/held_out/loss"):
        tuned.write_text(TABLE.replace("val/held_out/s_measure", name))
        fill("sum", by=name, **{"0.001": (0.3, 0.3), "0.01": (0.2, 0.3), "0.1": (0.2, 0.4)})
        assert shown(tuned)["sum"] == ("0.01", "2", "")


def test_what_is_not_run_yet_makes_the_choice_provisional(
    tuned: Path, fill: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fill("sum", **{"0.001": (0.7, None), "0.01": (None, None), "0.1": (0.2, 0.3)})
    rate, seeds, note = shown(tuned)["sum"]
    assert (rate, seeds) == ("0.001", "1") and note.startswith("Provisional: ")
    assert shown(tuned)["concat"] == ("–", "0", "")
    printed = capsys.readouterr().out
    assert "sum prov" in printed.replace("(", "").replace(")", "")
    assert "# fusion.name=sum, lr=0.01, seed 0" in printed
    assert "# fusion.name=sum, lr=0.001, seed 0" not in printed


def test_a_run_that_does_not_say_its_score_is_named(
    tuned: Path, fill: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fill("sum", **{"0.001": (0.7, 0.7), "0.01": ("unknown", "unknown"), "0.1": (0.9, "unknown")})
    fill("concat", **{"0.001": ("unknown", "unknown")})
    fill("concat", by="val/held_out/mae", **{"0.01": (0.1, 0.1)})
    found = shown(tuned)
    assert found["sum"][0] == "0.1" and found["sum"][2].startswith("Provisional: ")
    assert found["concat"][:2] == ("–", "0") and found["concat"][2].startswith("Nothing is chosen")
    printed = capsys.readouterr()
    path = trial(tuned, "sum", "0.01", 1) / "results.json"
    assert f"lr=0.01, seed 1: {path} has no val/held_out/s_measure" in printed.out
    assert "(of scores on held-out data: none)" in printed.out
    assert "(of scores on held-out data: val/held_out/mae)" in printed.out
    assert table(tuned) == 2


def test_of_equally_good_values_the_first_is_shown_and_said_to_be(
    tuned: Path, fill: Callable[..., None]
) -> None:
    fill("sum", **{"0.001": (0.7, 0.6), "0.01": (0.8, 0.6), "0.1": (0.6, 0.8)})
    rate, _, note = shown(tuned)["sum"]
    assert rate == "0.01" and note.startswith("Another value scored the same")


def test_a_test_score_never_changes_the_choice(tuned: Path, fill: Callable[..., None]) -> None:
    fill("sum", **{"0.001": (0.7, 0.9), "0.01": (0.8, 0.7), "0.1": (0.1, 0.2)})
    before = shown(tuned)["sum"]
    for rate in ("0.001", "0.01", "0.1"):
        path = trial(tuned, "sum", rate, 0) / "results.json"
        content = json.loads(path.read_text())
        content["scores"]["SET"]["s_measure"] = 1.0 if rate == "0.1" else 0.0
        path.write_text(json.dumps(content))
    assert shown(tuned)["sum"] == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{parameter: lr, by: test/SET/s_measure}", "'test/SET/s_measure': nothing is chosen on a"),
        ("{parameter: lr, by: s_measure}", "expected a score on held-out training data"),
        ("{parameter: lr, by: [val/held_out/mae]}", "expected a score on held-out training data"),
        ("{parameter: rate, by: val/held_out/mae}", "is 'rate', expected one of fusion.name, lr"),
        ("{parameter: seed_everything, by: val/held_out/mae}", "expected one of fusion.name, lr"),
        ("{parameter: [lr], by: val/held_out/mae}", "is ['lr'], expected one of"),
        ("{parameter: lr}", "expected parameter: NAME and by: SCORE"),
        ("lr", "choose is 'lr', expected parameter"),
        ("{parameter: lr, by: val/held_out/mae}\nplot: lr", "plot and choose exclude each other"),
        ("{parameter: fusion.name, by: val/held_out/mae}", "expected lr of a row"),
    ],
)
def test_what_nothing_can_be_chosen_by_is_refused(
    tuned: Path, capsys: pytest.CaptureFixture[str], given: str, words: str
) -> None:
    line = "{parameter: lr, by: val/held_out/s_measure}"
    tuned.write_text(TABLE.replace(line, given))
    with pytest.raises(SystemExit, match="2"):
        table(tuned)
    assert words in capsys.readouterr().err


def test_a_list_of_rows_has_nothing_to_choose(
    tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned.write_text(
        "title: T\nrows: [{name: a, seeds: [0], folder: f, command: c}]\n"
        "choose: {parameter: lr, by: val/held_out/mae}\n"
    )
    with pytest.raises(SystemExit, match="2"):
        table(tuned)
    assert "expected one that a sweep varies" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["high", None, [1], float("nan"), True])
def test_results_with_a_held_out_score_that_is_none_are_damaged(
    tuned: Path, write_run: Callable[..., Any], value: Any
) -> None:
    folder = trial(tuned, "sum", "0.001", 0)
    write_run(folder, validation={"val/held_out/mae": value})
    with pytest.raises(ResultsError, match="validation by val/held_out/mae is"):
        read_results(folder / "results.json")
