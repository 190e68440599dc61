"""What the user is told who gets a table file wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .table_runs import table, trial


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
        ({"replace": ("sweep: sweep.yaml", "sweep: other.yaml")}, "sweep is other.yaml, but"),
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
