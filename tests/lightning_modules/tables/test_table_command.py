"""Tables of runs: numbers, marks, gaps and flags, and what the user is told."""

import csv
import io
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_modules.main import main
from lightning_modules.results_file import ResultsError, read_results


def table(path: Path, *options: str) -> int:
    return main(["table", str(path), "--resamples", "200", *options])


def rows_of(path: Path, *options: str) -> list[dict[str, str]]:
    """Return the cells of a table as CSV."""
    output = path.parent / "table.csv"
    assert table(path, "--output", str(output), *options) in (0, 2)
    return list(csv.DictReader(io.StringIO(output.read_text())))


def cell(rows: list[dict[str, str]], metric: str, **labels: str) -> dict[str, str]:
    found = [
        row
        for row in rows
        if row["metric"] == metric and all(row[key] == value for key, value in labels.items())
    ]
    assert len(found) == 1
    return found[0]


def trial(path: Path, epsilon: str, seed: int) -> Path:
    return path.parent / "runs" / f"epsilon={epsilon},seed_everything={seed}"


def fill(path: Path, write_run) -> dict[tuple[str, int], dict]:
    """Write all four runs of the sweep; ε = 0.6 has less noise."""
    return {
        (epsilon, seed): write_run(trial(path, epsilon, seed), noise={"SET": noise}, seed=seed)[
            "SET"
        ]
        for epsilon, noise in (("0", 160), ("0.6", 110))
        for seed in (0, 1)
    }


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


def test_missing_runs_are_shown_with_the_command_that_makes_them(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(trial(sweep_table, "0.6", 1), seed=1)
    assert table(sweep_table) == 0
    printed = capsys.readouterr().out
    assert "(n=1)" in printed and "–" in printed
    command = (
        f"mutualformer trial --folder {sweep_table.parent / 'runs'} --config base.yaml "
        "--model.network.fusion.epsilon=0.6 --seed_everything=0\n"
    )
    assert f"# epsilon=0.6, seed 0\n  {command}" in printed
    assert "seed_everything=1\n" in printed.split("# epsilon=0, seed 1")[1]
    assert f"mutualformer sweep {sweep_table.parent / 'sweep.yaml'}\n" in printed
    assert "# epsilon=0.6, seed 1" not in printed
    # With a single row, nothing is best, and there is nothing to compare it with.
    assert "best" not in printed and "ref" not in printed


def test_a_damaged_file_is_named_and_the_rest_is_still_shown(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    damaged = trial(sweep_table, "0", 1) / "results.json"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    output = sweep_table.parent / "table.md"
    assert table(sweep_table, "--output", str(output)) == 2
    printed = capsys.readouterr()
    assert f"epsilon=0, seed 1: {damaged} is damaged" in printed.out
    assert "# epsilon=0, seed 1 (its results are damaged)" in printed.out
    assert "error: " in printed.err and "Traceback" not in printed.err
    assert "(n=1)" in output.read_text() and "damaged" in output.read_text()
    assert table(sweep_table, "--format", "csv") == 2
    assert f"error: epsilon=0, seed 1: {damaged} is damaged" in capsys.readouterr().err


def test_a_run_without_a_data_set_is_named(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        write_run(trial(sweep_table, "0.6", seed), noise={"SET": 110, "OTHER": 90}, seed=seed)
    write_run(trial(sweep_table, "0", 0))
    rows = rows_of(sweep_table)
    printed = capsys.readouterr()
    results = trial(sweep_table, "0", 0) / "results.json"
    assert f"epsilon=0, seed 0: {results} has no scores of OTHER" in printed.out
    assert "error: results are damaged or incomplete" in printed.err
    other = cell(rows, "mae", epsilon="0", dataset="OTHER")
    assert (other["value"], other["num_seeds"]) == ("", "0")
    assert cell(rows, "mae", epsilon="0", dataset="SET")["value"]


def test_a_score_that_was_not_finite_is_named(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = write_run(trial(sweep_table, "0", 0))
    scores["SET"]["mae"] = None  # type: ignore[assignment]
    write_run(trial(sweep_table, "0", 0), scores=scores)
    assert table(sweep_table) == 2
    assert "has no mae of SET" in capsys.readouterr().out


def test_a_failed_trial_is_named_with_its_reason(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    for seed, content in ((0, '{"reason": "out of memory", "date": "now"}'), (1, "{")):
        folder = trial(sweep_table, "0", seed)
        (folder / "results.json").unlink()
        (folder / "failure.json").write_text(content)
    assert table(sweep_table) == 0
    printed = capsys.readouterr().out
    assert "# epsilon=0, seed 0 (failed: out of memory)" in printed
    assert f"# epsilon=0, seed 1 (failed, see {trial(sweep_table, '0', 1)})" in printed


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"git": {"commit": "badc0de" * 5, "dirty": False}}, "the commit is badc0de, elsewhere c0"),
        ({"git": None}, "the commit is unknown, elsewhere c0ffee1"),
        ({"git": {"commit": "c0ffee1" * 5 + "c0ffe", "dirty": True}}, "uncommitted changes"),
        ({"protocol": "another one"}, "the protocol is another one"),
        ({"data_digest": {"SET": "0ther"}}, "the digest of SET is 0ther, elsewhere d1gest"),
        ({"num_images": {"SET": 11}}, "the number of images of SET is 11, elsewhere 12"),
        (
            {"config": {"trainer": {"max_epochs": 5}}},
            "trainer.max_epochs is 5, elsewhere 4",
        ),
        (
            {"config": {"trainer": {"max_epochs": 4, "precision": 16}}},
            "trainer.precision is 16, elsewhere unset",
        ),
        (
            {
                "config": {
                    "seed_everything": 1,
                    "trainer": {"max_epochs": 4},
                    "model": {"network": {"init_args": {"fusion": {"epsilon": 0.5}}}},
                }
            },
            "model.network.fusion.epsilon was 0.5, although this row is of 0",
        ),
        (
            {"seed": 7, "config": {}},
            "seed_everything was 7, although this run is of 1",
        ),
    ],
)
def test_a_row_made_otherwise_than_its_neighbours_is_flagged(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str], changes: dict, flag: str
) -> None:
    fill(sweep_table, write_run)
    write_run(trial(sweep_table, "0", 1), noise={"SET": 160}, **{"seed": 1, **changes})
    rows = rows_of(sweep_table)
    printed = capsys.readouterr().out
    assert f"{flag}" in cell(rows, "mae", epsilon="0")["note"]
    assert "(seed 1)" in cell(rows, "mae", epsilon="0")["note"]
    assert cell(rows, "mae", epsilon="0.6")["note"] == ""
    assert "(a) Made otherwise than its neighbours: " in printed and "0 (a)" in printed


def test_what_a_sweep_varies_and_where_a_run_lies_flags_nothing(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    for epsilon in (0.0, 0.6):
        for seed in (0, 1):
            folder = trial(sweep_table, f"{epsilon:g}", seed)
            fusion = {"epsilon": epsilon, "num_heads": 4}
            config = {
                "seed_everything": seed,
                "trainer": {
                    "default_root_dir": str(folder),
                    "logger": {"save_dir": f"{seed}"},
                    "profiler": f"{folder}/profile",
                },
                "model": {"network": {"class_path": "N", "init_args": {"fusion": fusion}}},
            }
            write_run(folder, seed=seed, config=config)
    assert all(row["note"] == "" for row in rows_of(sweep_table))
    assert "otherwise" not in capsys.readouterr().out


def test_uncommitted_changes_everywhere_are_said_once(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    for epsilon in ("0", "0.6"):
        write_run(trial(sweep_table, epsilon, 0), git={"commit": "a" * 40, "dirty": True})
    assert all(row["note"] == "" for row in rows_of(sweep_table))
    assert "commit aaaaaaa with uncommitted changes" in capsys.readouterr().out


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
    for metric in ("mae", "s_measure"):
        actual = cell(rows, metric, Method="Tiny", dataset="synthetic")
        assert float(actual["value"]) == results.scores["synthetic"][metric]
    printed = capsys.readouterr().out
    assert "# Tiny, seed 1\n  fit 1 seed_1\n" in printed
    assert f"commit {str((results.git or {})['commit'])[:7]}" in printed


def test_help_and_a_table_without_intervals_do_not_wait_for_torch(sweep_table) -> None:
    code = (
        "import sys; from lightning_modules.main import main; code = main({arguments!r});"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    arguments = ["table", str(sweep_table), "--format", "latex"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    process = subprocess.run(
        [sys.executable, "-c", code.format(arguments=arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert "\\toprule" in process.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "nowhere.yaml"}, "nowhere.yaml cannot be read: No such file"),
        ({"text": "title: [unclosed"}, "is not valid YAML"),
        ({"text": "- a\n- b"}, "holds a list, expected a table"),
        ({"text": "title: x"}, "expected either sweep: FILE or rows"),
        ({"add": "colour: red"}, "unknown key colour"),
        ({"replace": ("title: Strength of the diffusion", "title: 7")}, "title is 7"),
        ({"replace": ("sweep: sweep.yaml", "sweep: other.yaml")}, "other.yaml cannot be read"),
        ({"add": "metrics: [s_measure, iou]"}, "unknown score 'iou'"),
        ({"add": "metrics: s_measure"}, "metrics is 's_measure', expected a list"),
        ({"add": "metrics: []"}, "unknown score None"),
        ({"add": "metrics: [[mae]]"}, "unknown score ['mae']"),
        ({"add": "digits: many"}, "digits is 'many'"),
        ({"add": "digits: 3.0"}, "digits is 3.0"),
        ({"add": "datasets: 3"}, "datasets is 3"),
        ({"add": "datasets: [NOWHERE]"}, "unknown data set NOWHERE, expected one of SET"),
        ({"replace": ("{epsilon: 0.6}", "{epsilon: 0.7}")}, "reference 0.7 is not a row"),
        ({"replace": ("{epsilon: 0.6}", "{beta: 0.6}")}, "expected epsilon of a row"),
        ({"replace": ("plot: epsilon", "plot: [epsilon]")}, "plot is ['epsilon']"),
        ({"replace": ("Strength", '"\\e[31mStrength"')}, "is not valid YAML"),
        ({"replace": ("title: Strength", 'title: "\\e[31m" #')}, "expected printable text"),
        ({"replace": ("plot: epsilon", "plot: beta")}, "plot is 'beta', expected one of epsilon"),
        ({"options": ["--output", "table.docx"]}, "expected a file ending in .md .tex .csv .html"),
        ({"options": ["--format", "word"]}, "invalid choice"),
        ({"options": ["--resamples", "3"]}, "expected an integer >= 100"),
        ({"options": ["--plott", "x.png"]}, "unrecognized arguments"),
    ],
)
def test_mistakes_end_in_one_message_and_nothing_written(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str], change: dict, message: str
) -> None:
    write_run(trial(sweep_table, "0.6", 0))
    text = change.get("text", sweep_table.read_text())
    text = text.replace(*change.get("replace", ("", ""))) + change.get("add", "")
    sweep_table.write_text(text)
    path = sweep_table.parent / change.get("file", sweep_table.name)
    before = sorted(sweep_table.parent.rglob("*"))
    output = str(sweep_table.parent / "table.tex")
    with pytest.raises(SystemExit) as error:
        table(path, "--output", output, *change.get("options", []))
    assert error.value.code == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and message in printed.err
    assert printed.err.count("\n") == 1 and not printed.out
    assert sorted(sweep_table.parent.rglob("*")) == before


RUNS = "{name: Ours, seeds: [0, 1], folder: 'seed_{seed}', command: fit}"


@pytest.mark.parametrize(
    ("rows", "published", "message"),
    [
        ("[]", "", "rows is [], expected a non-empty list"),
        ("[Ours]", "", "a row is 'Ours', expected published and source, or name, seeds"),
        ("[{name: Ours, seeds: [0]}]", "", "expected published and source, or name, seeds"),
        (f"[{RUNS}, {RUNS}]", "", "2 rows are called 'Ours'"),
        (f"[{RUNS.replace('_{seed}', '')}]", "", "2 runs share the folder seed"),
        (f"[{RUNS.replace('[0, 1]', '[0, 0]')}]", "", "seeds of Ours is [0, 0]"),
        (f"[{RUNS.replace('[0, 1]', '3')}]", "", "seeds of Ours is 3"),
        (f"[{RUNS.replace('name:', 'params_m: many, name:')}]", "", "params_m is 'many'"),
        ("[{published: nowhere.csv, source: Us}]", "", "nowhere.csv cannot be read"),
        ("[{published: p.csv, source: Us}]", "a,b\n1,2\n", "expected the columns method,dataset"),
        ("[{published: p.csv, source: Us}]", "A,SET,iou,0.5\n", "A, SET, iou is not a score"),
        ("[{published: p.csv, source: Us}]", "A,SET,mae,5\n", "A, SET, mae is '5', expected a num"),
        ("[{published: p.csv, source: Us}]", "A,SET,mae,\n", "is '', expected a number in [0, 1]"),
        ("[{published: p.csv, source: Us}]", "A,SET,mae,.1\n" * 2, "A has mae of 'SET' twice"),
        ("[{published: p.csv, source: Us}]", "A,OTHER,mae,.1\n", "unknown data set SET, expected"),
    ],
)
def test_mistakes_in_listed_rows_and_published_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: str, published: str, message: str
) -> None:
    (tmp_path / "table.yaml").write_text(f"title: T\ndatasets: [SET]\nrows: {rows}\n")
    head = "" if published.startswith("a,b") else "method,dataset,metric,value\n"
    (tmp_path / "p.csv").write_text(head + published)
    with pytest.raises(SystemExit) as error:
        table(tmp_path / "table.yaml")
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_published_and_own_rows_share_the_best(
    tmp_path: Path, write_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, epochs in ((0, 4), (1, 5)):
        config = {"trainer": {"max_epochs": epochs}}
        write_run(Path(f"seed_{seed}"), noise={"SET": 110}, seed=seed, config=config)
    write_run(Path("more_0"), noise={"SET": 150}, config={"trainer": {"max_epochs": 9}})
    (tmp_path / "p.csv").write_text(
        "method,dataset,metric,value\nA,,params_m,7.5\nB,SET,mae,.001\nA,SET,mae,.9\n"
    )
    more = "{name: More, seeds: [0], folder: 'more_{seed}', command: fit}"
    (tmp_path / "table.yaml").write_text(
        "title: T\ndatasets: [SET]\nmetrics: [mae]\nrows:\n"
        f"- {{published: p.csv, source: Them}}\n- {RUNS}\n- {more}\n"
    )
    output = tmp_path / "table.md"
    rows = rows_of(tmp_path / "table.yaml", "--output", str(output))
    assert [row["Method"] for row in rows] == ["B", "A", "Ours", "More"]
    assert [row["Params (M)"] for row in rows] == ["–", "7.50", "–", "–"]
    text = output.read_text()
    assert "| B<sup>†</sup> | – | **.001** |" in text
    assert "A<sup>†</sup> | 7.50 | .900 |" in text
    assert f"| Ours<sup>a</sup> | – | <u>.{round(float(rows[2]['value']) * 1000)} ± " in text
    # Rows may differ in their settings, seeds of a row may not.
    assert "trainer.max_epochs is 5, elsewhere 4 (seed 1)" in rows[2]["note"]
    assert rows[3]["note"] == ""


def test_a_table_of_listed_rows_has_no_sweep_to_replace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.yaml").write_text(f"title: T\nrows: [{RUNS}]\n")
    with pytest.raises(SystemExit):
        table(tmp_path / "table.yaml", "--folder", "runs")
    assert "has no sweep whose folder" in capsys.readouterr().err


def test_a_swept_parameter_may_be_a_list_or_text(sweep_table, write_run) -> None:
    sweep = sweep_table.parent / "sweep.yaml"
    sweep.write_text(
        sweep.read_text().replace("fusion.epsilon", "strides").replace("[0.0, 0.6]", "[[8, 16], x]")
    )
    sweep_table.write_text("title: Strides\nsweep: sweep.yaml\nreference: {strides: [8, 16]}\n")
    assert {row["strides"] for row in rows_of(sweep_table)} == {"[8, 16]", "x"}


def test_results_without_configuration_and_digest_are_taken(sweep_table, write_run) -> None:
    """Files of earlier versions have neither."""
    fill(sweep_table, write_run)
    path = trial(sweep_table, "0", 0) / "results.json"
    content = json.loads(path.read_text())
    del content["config"], content["data_digest"]
    path.write_text(json.dumps(content))
    rows = rows_of(sweep_table)
    assert cell(rows, "mae", epsilon="0")["num_seeds"] == "2"
    assert all(row["note"] == "" for row in rows)


def test_results_of_perfect_maps_are_read(write_run, tmp_path: Path) -> None:
    """E divides by the number of pixels less one, as its oracle does."""
    scores = {"SET": {"s_measure": 1.0, "e_max": 1 + 1 / 719, "mae": 0.0}}
    write_run(tmp_path, scores=scores)
    assert read_results(tmp_path / "results.json").scores == scores
    write_run(tmp_path, scores={"SET": {"e_max": 1.5}})
    with pytest.raises(ResultsError, match="e_max of SET is 1.5, expected a number"):
        read_results(tmp_path / "results.json")
