"""Rows that are compared with the one that differs from them in some parameters alone."""

from pathlib import Path

import pytest

from .table_runs import cell, rows_of

SWEEP = """
method: grid
parameters:
  model.network.fusion.epsilon: {values: [0.0, 0.6]}
  data.modality_dropout: {values: [0.0, 0.3]}
  seed_everything: {values: [0, 1]}
command: [mutualformer, trial, --folder, RUNS, --config, base.yaml, "${args}"]
"""
TABLE = "title: Modality dropout\nsweep: sweep.yaml\nreference: {modality_dropout: 0.0}\n"
NOISE = {("0", "0"): 90, ("0", "0.3"): 130, ("0.6", "0"): 110, ("0.6", "0.3"): 170}


@pytest.fixture
def of_pairs(tmp_path: Path, write_run) -> Path:
    """Return a table of ε by modality dropout, all of whose trials have results."""
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("RUNS", str(tmp_path / "runs")))
    (tmp_path / "table.yaml").write_text(TABLE)
    for (epsilon, dropout), noise in NOISE.items():
        for seed in (0, 1):
            name = f"modality_dropout={dropout},epsilon={epsilon},seed_everything={seed}"
            write_run(tmp_path / "runs" / name, noise={"SET": noise}, seed=seed)
    return tmp_path / "table.yaml"


@pytest.mark.parametrize("intervals", ["seeds", "images"])
def test_a_row_is_compared_with_the_one_of_its_own_kind(
    of_pairs: Path, intervals: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of_pairs.write_text(f"{TABLE}intervals: {intervals}\n")
    rows = rows_of(of_pairs)
    printed = capsys.readouterr().out
    for epsilon in ("0", "0.6"):
        plain, found = (
            cell(rows, "mae", epsilon=epsilon, modality_dropout=dropout) for dropout in ("0", "0.3")
        )
        difference = float(found["value"]) - float(plain["value"])
        assert difference > 0 and plain["difference"] == ""
        assert float(found["difference"]) == pytest.approx(difference, abs=1e-12)
        low, high = float(found["difference_low"]), float(found["difference_high"])
        assert low < difference < high
    assert printed.count("(ref)") == 3
    assert "difference to the row marked so that has the same epsilon" in printed


def test_where_one_has_no_runs_yet_the_others_are_compared(of_pairs: Path) -> None:
    for seed in (0, 1):
        name = f"modality_dropout=0,epsilon=0,seed_everything={seed}"
        (of_pairs.parent / "runs" / name / "results.json").unlink()
    rows = rows_of(of_pairs)
    first, second = (
        cell(rows, "mae", epsilon=epsilon, modality_dropout="0.3") for epsilon in ("0", "0.6")
    )
    assert first["difference"] == "" and second["difference"] != ""


def test_the_best_of_several_is_compared_with_that_of_the_reference(of_pairs: Path) -> None:
    choice = "choose: {parameter: epsilon, by: val/held_out/mae}\n"
    of_pairs.write_text(TABLE + choice)
    assert {row["modality_dropout"] for row in rows_of(of_pairs)} == {"0", "0.3"}


@pytest.mark.parametrize("reference", ["{}", "{beta: 0.0}", "{epsilon: 0.0, beta: 0.0}", "0.0"])
def test_what_no_row_has_is_refused(
    of_pairs: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of_pairs.write_text(TABLE.replace("{modality_dropout: 0.0}", reference))
    with pytest.raises(SystemExit) as caught:
        rows_of(of_pairs)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "reference is " in message and "expected epsilon, modality_dropout of a row" in message
