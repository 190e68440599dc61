"""Tables of a sweep: means, deviations, differences and their intervals."""

import csv
import statistics
from pathlib import Path

import pytest

from lightning_modules.main import main
from lightning_modules.runs.results import read_results

from .table_runs import cell, fill, rows_of, table, trial


def test_cells_are_means_deviations_and_differences_over_seeds(sweep_table, write_run) -> None:
    scores = fill(sweep_table, write_run)
    rows = rows_of(sweep_table)
    assert len(rows) == 2 * 4
    for metric in ("s_measure", "f_max", "e_max", "mae"):
        of_zero = [scores["0", seed][metric] for seed in (0, 1)]
        of_reference = [scores["0.6", seed][metric] for seed in (0, 1)]
        actual, reference = (cell(rows, metric, epsilon=epsilon) for epsilon in ("0", "0.6"))
        assert float(actual["value"]) == pytest.approx(sum(of_zero) / 2, abs=1e-12)
        assert float(actual["std"]) == pytest.approx(statistics.stdev(of_zero), abs=1e-12)
        assert (actual["num_seeds"], actual["published"]) == ("2", "no")
        difference = statistics.mean(of_zero) - statistics.mean(of_reference)
        assert float(actual["difference"]) == pytest.approx(difference, abs=1e-12)
        low, high = float(actual["difference_low"]), float(actual["difference_high"])
        assert low < difference < high
        assert (low > 0) if metric == "mae" else (high < 0)
        assert reference["difference"] == reference["difference_low"] == ""
        assert actual["note"] == ""


def test_without_per_image_scores_there_is_a_difference_and_no_interval(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    (trial(sweep_table, "0", 0) / "per_image_scores.csv").unlink()
    rows = rows_of(sweep_table)
    actual = cell(rows, "mae", epsilon="0")
    assert actual["difference"] and not actual["difference_low"]
    printed = capsys.readouterr().out
    assert f"per_image_scores.csv or .npz is missing: {trial(sweep_table, '0', 0)}" in printed


def test_without_counts_only_curves_have_no_interval(sweep_table, write_run) -> None:
    fill(sweep_table, write_run)
    (trial(sweep_table, "0", 0) / "per_image_scores.npz").unlink()
    rows = rows_of(sweep_table)
    assert cell(rows, "mae", epsilon="0")["difference_low"]
    assert not cell(rows, "f_max", epsilon="0")["difference_low"]


def test_per_image_scores_of_another_test_are_not_used(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    folder = trial(sweep_table, "0", 0)
    results = (folder / "results.json").read_text()
    write_run(folder, noise={"SET": 200})
    (folder / "results.json").write_text(results)
    assert table(sweep_table) == 2
    assert "per_image_scores.csv averages to" in capsys.readouterr().out


def test_other_test_images_are_not_compared(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    write_run(trial(sweep_table, "0", 1), seed=1, count=11)
    assert table(sweep_table) == 0
    printed = capsys.readouterr().out
    assert "No interval, other images: SET: 1 image(s) are scored in only one of A and B" in printed
    assert "the number of images of SET is 11, elsewhere 12 (seed 1)" in printed


def test_the_interval_is_that_of_averaging_the_seeds_on_every_resample(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mean absolute error is linear, so seeds may be averaged image by image first."""
    import numpy as np

    from lightning_modules.evaluation.paired_bootstrap import SEED
    from lightning_modules.metrics.per_image_files import read_per_image_scores

    fill(sweep_table, write_run)
    errors = {
        epsilon: np.mean(
            [
                read_per_image_scores(
                    trial(sweep_table, epsilon, seed) / "per_image_scores.csv"
                ).values["mae"]
                for seed in (0, 1)
            ],
            axis=0,
        )
        for epsilon in ("0", "0.6")
    }
    drawn = np.random.default_rng(SEED).integers(12, size=(200, 12))
    sample = (errors["0"] - errors["0.6"])[drawn].mean(axis=1)
    expected = np.quantile(sample, [0.025, 0.975])
    actual = cell(rows_of(sweep_table), "mae", epsilon="0")
    ends = [float(actual["difference_low"]), float(actual["difference_high"])]
    assert ends == pytest.approx(expected, abs=1e-12)
    printed = capsys.readouterr().out
    assert "(ref) Second line of a cell: difference to this row" in printed
    assert "12 images of SET are few: the true intervals are wider." in printed


def test_another_folder_and_configuration_replace_those_of_the_sweep(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep_table.parent / "elsewhere"
    write_run(folder / "epsilon=0,seed_everything=0")
    rows = rows_of(sweep_table, "--folder", str(folder), "--config", "my.yaml")
    assert cell(rows, "mae", epsilon="0")["num_seeds"] == "1"
    printed = capsys.readouterr().out
    assert f"mutualformer trial --folder {folder} --config my.yaml --model" in printed
    sweep = sweep_table.parent / "sweep.yaml"
    assert f"mutualformer sweep {sweep} --folder {folder} --config my.yaml\n" in printed


TINY = Path(__file__).resolve().parents[1] / "tiny.yaml"


def test_a_table_of_runs_that_were_really_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.yaml").write_text(
        "title: Trained\ndatasets: [synthetic]\nmetrics: [mae, s_measure]\nrows:\n"
        "  - {name: Tiny, seeds: [0, 1], folder: 'seed_{seed}', command: 'fit {seed} {folder}'}\n"
    )
    options = ["--config", str(TINY), "--trainer.default_root_dir", "seed_0"]
    assert main(["fit", *options]) == main(["test", *options]) == 0
    rows = rows_of(tmp_path / "table.yaml")
    results = read_results(Path("seed_0/results.json"))
    (metrics,) = Path("seed_0/logs").glob("*/metrics.csv")
    logged = [row["val/held_out/s_measure"] for row in csv.DictReader(metrics.open())]
    best = max(float(score) for score in logged if score)
    assert results.validation == {"val/held_out/s_measure": pytest.approx(best, abs=1e-6)}
    for metric in ("mae", "s_measure"):
        actual = cell(rows, metric, Method="Tiny", dataset="synthetic")
        assert float(actual["value"]) == results.scores["synthetic"][metric]
    printed = capsys.readouterr().out
    assert "# Tiny, seed 1\n  fit 1 seed_1\n" in printed
    assert f"commit {str((results.git or {})['commit'])[:7]}" in printed


def test_a_swept_parameter_may_be_a_list_or_text(sweep_table, write_run) -> None:
    sweep = sweep_table.parent / "sweep.yaml"
    sweep.write_text(
        sweep.read_text().replace("fusion.epsilon", "strides").replace("[0.0, 0.6]", "[[8, 16], x]")
    )
    sweep_table.write_text("title: Strides\nsweep: sweep.yaml\nreference: {strides: [8, 16]}\n")
    assert {row["strides"] for row in rows_of(sweep_table)} == {"[8, 16]", "x"}
