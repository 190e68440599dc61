"""Intervals over seeds instead of test images."""

import statistics
from pathlib import Path

import pytest

from lightning_modules.tables.seed_intervals import half_width

from .table_runs import cell, fill, rows_of, table, trial


@pytest.fixture
def over_seeds(sweep_table: Path) -> Path:
    sweep_table.write_text(sweep_table.read_text() + "intervals: seeds\n")
    return sweep_table


@pytest.mark.parametrize(
    ("values", "quantile"), [([1.0, 2.0], 12.7062), ([0.3, 0.1, 0.8, 0.5, 0.9], 2.77645)]
)
def test_half_width_has_the_quantiles_of_a_printed_table(
    values: list[float], quantile: float
) -> None:
    expected = quantile * statistics.stdev(values) / len(values) ** 0.5
    assert half_width(values) == pytest.approx(expected, rel=1e-5)


def test_one_seed_has_no_interval() -> None:
    assert half_width([0.5]) is None


def test_means_and_paired_differences(
    over_seeds: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = fill(over_seeds, write_run)
    rows = rows_of(over_seeds)
    printed = capsys.readouterr().out
    of = {key: value["mae"] for key, value in scores.items()}
    for epsilon in ("0", "0.6"):
        found = cell(rows, "mae", epsilon=epsilon)
        pair = [of[epsilon, 0], of[epsilon, 1]]
        assert float(found["half_width"]) == pytest.approx(half_width(pair))
    differences = [of["0", seed] - of["0.6", seed] for seed in (0, 1)]
    found = cell(rows, "mae", epsilon="0")
    mean, half = statistics.fmean(differences), half_width(differences)
    assert half is not None
    assert float(found["difference"]) == pytest.approx(mean)
    assert float(found["difference_low"]) == pytest.approx(mean - half)
    assert float(found["difference_high"]) == pytest.approx(mean + half)
    assert "± half of the 95 % interval (Student's t) over the seeds 0, 1" in printed
    assert "seed by seed" in printed and "bootstrap" not in printed


def test_only_seeds_that_both_rows_have_are_compared(over_seeds: Path, write_run) -> None:
    scores = fill(over_seeds, write_run)
    (trial(over_seeds, "0", 1) / "results.json").unlink()
    found = cell(rows_of(over_seeds), "mae", epsilon="0")
    difference = scores["0", 0]["mae"] - scores["0.6", 0]["mae"]
    assert float(found["difference"]) == pytest.approx(difference)
    assert found["difference_low"] == found["half_width"] == ""


def test_bars_of_the_figure_say_what_they_are(over_seeds: Path, write_run, tmp_path: Path) -> None:
    fill(over_seeds, write_run)
    assert table(over_seeds, "--plot", str(tmp_path / "figure.svg")) == 0
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_another_kind_of_interval_is_refused(
    sweep_table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_table.write_text(sweep_table.read_text() + "intervals: [seeds]\n")
    with pytest.raises(SystemExit) as caught:
        table(sweep_table)
    assert caught.value.code == 2
    assert "intervals is ['seeds'], expected images or seeds" in capsys.readouterr().err
