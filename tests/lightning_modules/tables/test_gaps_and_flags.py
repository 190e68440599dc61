"""What a table says of runs that are missing, damaged, or made otherwise."""

import json
from pathlib import Path

import pytest

from lightning_modules.runs.results import ResultsError, read_results

from .table_runs import cell, fill, rows_of, table, trial


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
    assert f"# epsilon=0, seed 1 (failed: see {trial(sweep_table, '0', 1)})" in printed


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


def test_what_a_network_says_of_itself_is_a_footnote(
    sweep_table, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sweep_table, write_run)
    for seed in (0, 1):
        write_run(trial(sweep_table, "0", seed), noise={"SET": 160}, seed=seed, remarks=["weaker"])
    rows = rows_of(sweep_table)
    assert cell(rows, "mae", epsilon="0")["note"] == "Weaker"
    assert cell(rows, "mae", epsilon="0.6")["note"] == ""
    printed = capsys.readouterr().out
    assert "(a) Weaker" in printed and "0 (a)" in printed


def test_remarks_stand_beside_what_was_made_otherwise(sweep_table, write_run) -> None:
    fill(sweep_table, write_run)
    write_run(trial(sweep_table, "0", 1), seed=1, remarks=["weaker"], protocol="another one")
    note = cell(rows_of(sweep_table), "mae", epsilon="0")["note"]
    assert note.startswith("Weaker (seed 1)") and "Made otherwise than its neighbours" in note


@pytest.mark.parametrize("remarks", ["weaker", [3], ["\x1b[2J"]])
def test_remarks_that_are_none_are_refused(sweep_table, write_run, capsys, remarks: object) -> None:
    write_run(trial(sweep_table, "0", 1), seed=1, remarks=remarks)
    assert table(sweep_table) == 2
    assert "is not a results file of mutualformer test" in capsys.readouterr().out


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
