"""Tables of published numbers and of runs that are listed."""

from pathlib import Path

import pytest

from .table_runs import rows_of, table

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
        ("[{published: nowhere.csv, source: Us}]", "", "published is nowhere.csv, but"),
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
