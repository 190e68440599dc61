"""`robustness --reference`: differences on corrupted images, seed by seed."""

import csv
import json
from pathlib import Path

import pytest
from scipy.stats import ttest_rel

import lightning_modules.main as command_line
from datamodules.augmentation.corruption import Corruption
from lightning_modules.robustness.differences import find_references
from lightning_modules.robustness.measure_runs import Robustness, RunRobustness
from lightning_modules.robustness.table import robustness_table
from lightning_modules.runs.score import Score
from mutualformer.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[3]
SCORE = Score("s_measure", "S", higher_is_better=True, main=True)
NOISE = Corruption("depth", "noise", 0.5)
KEPT = "modality_dropout_robustness.json"  # of the repository


def configuration(label: str, scores: dict[int | None, tuple[float, float]]) -> Robustness:
    """Return scores of clean and of noisy images by seed."""
    runs = [
        RunRobustness(
            scores={"clean": {"d": {SCORE.name: clean}}, str(NOISE): {"d": {SCORE.name: noisy}}},
            descriptions=[SCORE],
            unread=None,
            seed=seed,
            file=Path("robustness.json"),
        )
        for seed, (clean, noisy) in scores.items()
    ]
    return Robustness(label, tuple(runs))


def main(*words: str) -> int:
    try:
        return command_line.main(["robustness", *words])
    except SystemExit as error:
        return int(str(error.code))


def test_differences_are_those_of_a_paired_test() -> None:
    one = configuration("sum", {2: (0.72, 0.64), 0: (0.80, 0.61), 1: (0.78, 0.70), 7: (0.1, 0.1)})
    other = configuration("cmx", {0: (0.83, 0.66), 1: (0.79, 0.60), 2: (0.75, 0.61), 9: (1, 1)})
    table = robustness_table([other, one], [NOISE], "cmx")
    assert all(cell.interval is None for cell in table.rows[0].cells)
    assert [row.marks for row in table.rows] == [("ref",), ()]
    for column, cell in enumerate(table.rows[1].cells):
        key = ("clean", str(NOISE))[column]
        own, against = (
            {run.seed: run.scores[key]["d"][SCORE.name] for run in x.runs} for x in (one, other)
        )
        pairs = [(own[seed], against[seed]) for seed in (0, 1, 2)]
        expected = ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
        assert cell.interval is not None
        assert (cell.interval.low, cell.interval.high) == pytest.approx((*expected,))
        middle = sum(a - b for a, b in pairs) / 3
        assert cell.interval.difference == pytest.approx(middle)


def test_a_seed_that_was_trained_twice_counts_once() -> None:
    run, again = (
        configuration("sum", {0: (clean, 0.5), 1: (0.5, 0.5)}).runs for clean in (0.6, 0.8)
    )
    one = Robustness("sum", (*run, again[0]))
    table = robustness_table([one, configuration("cmx", {0: (0.5, 0), 1: (0.5, 0)})], [], "cmx")
    interval = table.rows[0].cells[0].interval
    assert interval is not None and interval.difference == pytest.approx(0.1)  # (.2 + 0) / 2


@pytest.mark.parametrize("seeds", [{5: (0.5, 0.5)}, {None: (0.5, 0.5)}])
def test_without_a_seed_in_common_there_is_no_difference_and_a_word_about_it(
    seeds: dict[int | None, tuple[float, float]],
) -> None:
    measured = [configuration("sum", seeds), configuration("cmx", {0: (0.5, 0.5)})]
    table = robustness_table(measured, [NOISE], "cmx")
    assert all(cell.interval is None for row in table.rows for cell in row.cells)
    assert "No difference, no seed in common: sum and cmx." in table.notes


def test_each_is_compared_with_what_is_otherwise_the_same() -> None:
    labels = [f"{fusion}, stages=[8, 16], p={p}" for p in (0, 0.3) for fusion in ("sum", "cmx")]
    assert find_references(labels, "p=0") == [0, 1, 0, 1]
    assert find_references(labels, " cmx ") == [1, 1, 3, 3]
    assert find_references(labels, "cmx,p=0.3") == [3, 3, 3, 3]
    assert find_references(labels, labels[2]) == [2, 2, 2, 2]
    for words in ("stages=[8, 16]", "sum, stages=[8, 16]"):
        with pytest.raises(UserError, match="of those with it are otherwise as"):
            find_references([*labels, "sum, stages=[8], p=1"], words)


def test_the_kept_differences_are_shown_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--corruption=rgb", "--reference=modality_dropout=0"]
    assert main(KEPT, *words, f"--output={tmp_path / 'table.csv'}") == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert {row["difference"] == "" for row in rows if "=0.3" in row["Configuration"]} == {False}
    assert {row["difference"] for row in rows if "=0.3" not in row["Configuration"]} == {""}

    kept = json.loads((REPOSITORY / "experiments" / "results" / KEPT).read_text())
    scores = {
        one["label"]: {
            run["seed"]: run["scores"]["rgb:blank:1"]["rendered"][SCORE.name] for run in one["runs"]
        }
        for one in kept["configurations"]
    }
    at_1 = [row for row in rows if row["metric"].endswith("_at_1") and row["difference"]]
    assert {row["Configuration"] for row in at_1} == {x for x in scores if x.endswith("=0.3")}
    for row in at_1:
        against = row["Configuration"].replace("=0.3", "=0")
        own, other = scores[row["Configuration"]], scores[against]
        pairs = [(own[seed], other[seed]) for seed in own]
        expected = ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
        found = (float(row["difference_low"]), float(row["difference_high"]))
        assert found == pytest.approx((*expected,))
        assert f"{against} (ref)" in printed
    assert printed.count(" [") == 3 * len(at_1)  # of clean images and of each severity


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("modality_dropout=1", "--reference is 'modality_dropout=1', expected a configuration"),
        ("cmx", "or words that some of them have in common; there are: concat, modality_dropout=0"),
        (",", "--reference is ','"),
        ("", "--reference is ''"),
        ("concat, sum", "--reference is 'concat, sum'"),
    ],
)
def test_mistakes_in_one_line(
    reference: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(KEPT, f"--reference={reference}") == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line and not printed.out
