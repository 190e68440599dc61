"""Costs beside the scores of a table, in every format."""

from pathlib import Path

import pytest
from made_up_costs import made_up

from lightning_modules.costs.cost_file import write_cost

from .table_runs import cell, fill, rows_of, table, trial

HEADINGS = ["Params (M)", "GFLOPs", "ms", "MiB", "GFLOPs/image"]
SHOWN = ["12.3", "4.56", "7.89", "12.5", "13.7", "654", "3211"]


def with_costs(path: Path, write_run, **changes: object) -> None:
    """Fill the table; ε = 0.6 costs otherwise."""
    fill(path, write_run)
    for seed in (0, 1):
        write_cost(trial(path, "0", seed) / "cost.json", made_up())
        write_cost(trial(path, "0.6", seed) / "cost.json", made_up(**changes))


@pytest.mark.parametrize("name", ["terminal", "markdown", "latex", "html"])
def test_costs_stand_in_every_format(
    name: str, sweep_table: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    with_costs(sweep_table, write_run, forward_flops=532_100_000)
    assert table(sweep_table, "--format", name) == 0
    shown = capsys.readouterr().out
    for text in (*HEADINGS, *SHOWN, "0.532", "16 images, on cpu (Some CPU), 2 threads"):
        assert text in shown
    # No cost is the best of its column: what is cheap is no better for it.
    for text in ("0.532¹", "**0.532**", "\\textbf{0.532}", "<b>0.532</b>"):
        assert text not in shown


def test_costs_in_a_csv_are_exact_and_in_rows_of_their_own(sweep_table: Path, write_run) -> None:
    fill(sweep_table, write_run)
    before = rows_of(sweep_table)
    with_costs(sweep_table, write_run, step_ms=1.25)
    rows = rows_of(sweep_table)
    assert [row for row in rows if row["dataset"] == "SET"] == before
    assert cell(rows, "params_m", epsilon="0")["value"] == "12.345678"
    assert cell(rows, "gflops", epsilon="0")["value"] == "4.561"
    of_step = cell(rows, "step_ms", epsilon="0.6")
    assert (of_step["value"], of_step["num_seeds"], of_step["std"]) == ("1.25", "2", "")


def test_a_terminal_of_140_characters_suffices(
    sweep_table: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    with_costs(sweep_table, write_run)
    assert table(sweep_table) == 0
    # Of notes, which are one line each, there is nothing before the first footnote.
    lines = capsys.readouterr().out.partition("(ref) Second line")[0].splitlines()
    assert any("GFLOPs/image" in line for line in lines)
    assert max(map(len, lines)) <= 140


def test_scores_and_figures_are_as_without_costs(sweep_table: Path, write_run) -> None:
    fill(sweep_table, write_run)
    figure = sweep_table.parent / "figure.svg"
    assert table(sweep_table, "--plot", str(figure)) == 0
    texts = figure.read_text().count("<!-- ")
    with_costs(sweep_table, write_run)
    assert table(sweep_table, "--plot", str(figure)) == 0
    assert figure.read_text().count("<!-- ") == texts
    assert "GFLOPs" not in figure.read_text()


def test_without_costs_the_command_is_told(
    sweep_table: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table(sweep_table) == 0
    assert "mutualformer cost" not in capsys.readouterr().out
    write_run(trial(sweep_table, "0", 0))
    assert table(sweep_table) == 0
    folder = trial(sweep_table, "0", 0)
    assert f"No costs yet; to measure them: mutualformer cost {folder}" in capsys.readouterr().out
    fill(sweep_table, write_run)
    assert table(sweep_table) == 0
    assert f"mutualformer cost {folder.parent}\n" in capsys.readouterr().out


def test_a_row_without_a_cost_has_none(sweep_table: Path, write_run) -> None:
    fill(sweep_table, write_run)
    write_cost(trial(sweep_table, "0", 1) / "cost.json", made_up())
    rows = rows_of(sweep_table)
    assert cell(rows, "ms", epsilon="0")["num_seeds"] == "1"
    assert cell(rows, "ms", epsilon="0.6")["value"] == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"device": "cuda (H100)", "num_threads": 0},
            "the device is cuda (H100), elsewhere cpu (Some CPU), 2 threads",
        ),
        ({"num_threads": 1}, "the device is cpu (Some CPU), 1 thread, elsewhere"),
        ({"image_size": "64 × 64"}, "the size of the images is 64 × 64, elsewhere 128 × 128"),
        ({"batch_size": 4}, "the batch size is 4, elsewhere 16"),
        ({"precision": "bf16-mixed"}, "the precision is bf16-mixed, elsewhere 32-true"),
        ({"torch": "2.99"}, "the version of torch is 2.99"),
        ({"git": None}, "the commit is unknown, elsewhere c0ffee1"),
        (
            {"git": {"commit": "decade0" * 6, "dirty": False}},
            "at commit decade0, its scores at c0ffee1",
        ),
    ],
)
def test_a_row_measured_otherwise_is_marked(
    changes: dict, text: str, sweep_table: Path, write_run
) -> None:
    with_costs(sweep_table, write_run, **changes)
    rows = rows_of(sweep_table)
    note = cell(rows, "gflops", epsilon="0.6")["note"]
    assert note.startswith("Cost measured otherwise: ") and text in note
    assert cell(rows, "gflops", epsilon="0")["note"] == ""


def test_runs_of_a_row_that_differ_are_told(
    sweep_table: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    with_costs(sweep_table, write_run)
    write_cost(trial(sweep_table, "0.6", 1) / "cost.json", made_up(parameters=1))
    assert table(sweep_table, "--format", "markdown") == 0
    shown = capsys.readouterr().out
    assert "0.6<sup>ref</sup><sup>a</sup>" in shown or "0.6<sup>a</sup>" in shown
    assert "<sup>a</sup> Cost measured otherwise: its runs differ in parameters or FLOPs" in shown


def test_a_damaged_cost_is_named_and_not_used(
    sweep_table: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    with_costs(sweep_table, write_run)
    path = trial(sweep_table, "0.6", 0) / "cost.json"
    path.write_text(path.read_text()[:40])
    assert table(sweep_table) == 2
    assert f"epsilon=0.6: {path} is damaged" in capsys.readouterr().out
    assert cell(rows_of(sweep_table), "ms", epsilon="0.6")["num_seeds"] == "1"
