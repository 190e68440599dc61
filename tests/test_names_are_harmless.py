"""No name leaves its folder, or poses as markup, where it is used or shown."""

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from datamodules.check import check_root
from datamodules.errors import DataError
from lightning_modules import SaliencyModule
from lightning_modules.callbacks import PredictionWriter
from lightning_modules.callbacks.results_writer import _table
from lightning_modules.main import main
from lightning_modules.report.formats import RENDERERS, print_table
from lightning_modules.report.score_report import scores_table
from lightning_modules.report.sweep_report import print_status
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_name import trial_name
from lightning_modules.tables.table import Cell, MissingRun, Row, Table

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a&b",
    "under_score",
    "50%",
    r"\input{/etc/passwd}",
    r"\write18{touch PWNED}",
    "a|b",
    "[x](javascript:alert(1))",
    "$(touch PWNED)",
    "=HYPERLINK(1)",
    "@SUM(1)",
    "[red]x[/]",
    "[/y]",
]


# Names that lead elsewhere

ELSEWHERE = ["../up", "..", ".", "", "/tmp/up", "a/b", "a/../../up"]


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("of", ["dataset", "name"])
def test_maps_are_written_below_their_folder(tmp_path: Path, name: str, of: str) -> None:
    writer = PredictionWriter(str(tmp_path / "maps"))
    writer.directory = tmp_path / "maps"
    batch = {"name": ["a"], "dataset": ["SET"], "original_size": [(4, 4)]}
    outputs = {"saliency": torch.zeros(1, 1, 4, 4)}
    module = SaliencyModule(torch.nn.Identity())
    batch[of] = [name]
    with pytest.raises(ValueError, match="plain file name"):
        writer.on_predict_batch_end(None, module, outputs, batch, 0)  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("value", [*ELSEWHERE, "..\\up", "a\0b", "~", "x" * 300, "-rf", "CON"])
def test_trials_run_below_the_folder_of_their_sweep(tmp_path: Path, value: str) -> None:
    for parameters in ({"model.a": value}, {"model.a": [value]}, {"a": value, "b": [value, 1]}):
        folder = tmp_path / trial_name(parameters)
        assert folder.resolve().parent == tmp_path.resolve()
        folder.mkdir()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".", "..", "a..b", "a.b/../c", "a b", "-x"])
def test_a_sweep_has_no_parameter_that_is_a_path(tmp_path: Path, name: str) -> None:
    content = {
        "method": "grid",
        "parameters": {name: {"values": [1]}},
        "command": ["mutualformer", "trial", "--folder", "runs", "--config", "a", "${args}"],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(match="expected a dotted name"):
        read_sweep(path)


@pytest.mark.parametrize("name", ["../up", "a/b", "/tmp/up", "..", "."])
def test_a_data_set_has_no_name_that_is_a_path(tmp_path: Path, name: str) -> None:
    from datamodules import RGBDSaliencyDataModule

    data = RGBDSaliencyDataModule(root=str(tmp_path), test_sets={name: "SET"})
    with pytest.raises(DataError, match="expected a name without folders"):
        data.setup("test")


def test_links_in_a_data_set_are_read_and_never_written_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    values = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)
    for folder, pixels in (
        ("RGB", np.stack([values] * 3, axis=-1)),
        ("depth", values),
        ("GT", (values > 99) * np.uint8(255)),
    ):
        (tmp_path / "data" / "mine" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(outside / f"{folder}.png")
        (tmp_path / "data" / "mine" / folder / "a.png").symlink_to(outside / f"{folder}.png")
    (tmp_path / "data" / "mine" / "loop").symlink_to(tmp_path / "data")
    before = {path: path.read_bytes() for path in outside.iterdir()}
    sheet, report = outside / "../sheet.png", tmp_path / "check.json"
    options = ["--workers", "0", "--output", str(report), "--contact-sheet", str(sheet)]
    main(["data", "check", str(tmp_path / "data"), *options])
    assert "checked already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in outside.iterdir()} == before
    assert report.is_file() and (tmp_path / "sheet.png").is_file()


def test_folders_in_folders_without_end_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("a")
        os.chdir("a")
    os.chdir(tmp_path)
    (finding,) = check_root(tmp_path).findings
    assert finding.is_error and "deeper than 50 folders" in finding.message
    # pytest's own way to remove it is recursive.
    subprocess.run(["rm", "-r", "a"], check=True)


# Names that pose as markup


def hostile_table() -> Table:
    rows = [Row((name, "1"), (Cell(0.5), Cell(0.2)), ("a",), (name,)) for name in HOSTILE]
    return Table(
        title=HOSTILE[0],
        label_headings=("Method", "_%&<b>"),
        columns=((HOSTILE[1], SALIENCY_SCORES[0]), (HOSTILE[5], SALIENCY_SCORES[1])),
        rows=tuple(rows),
        footnotes=tuple(("a", name) for name in HOSTILE),
        notes=tuple(HOSTILE),
        problems=tuple(HOSTILE),
        missing=(MissingRun("x", "run --x '<script>'"),),
    )


def test_html_shows_names_and_takes_none_for_an_element() -> None:
    page = RENDERERS[".html"](hostile_table())
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "a&amp;b" in page


def test_latex_executes_no_name() -> None:
    text = RENDERERS[".tex"](hostile_table())
    code = [line for line in text.splitlines() if not line.startswith("%")]
    assert not any(command in line for line in code for command in (r"\input", r"\write"))
    assert r"\textbackslash{}input\{/etc/passwd\}" in text and r"50\%" in text


def test_markdown_has_no_link_element_or_cell_of_a_name() -> None:
    text = RENDERERS[".md"](hostile_table())
    outside_code = text.partition("```")[0]
    assert r"\[x\](javascript:alert(1))" in outside_code and r"a\|b" in outside_code
    assert "<script" not in outside_code.replace(r"\<", "")


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    lines = RENDERERS[".csv"](hostile_table()).splitlines()
    assert not [line for line in lines if line.startswith(("=", "@", "+", '"='))]
    assert any(line.startswith("'=HYPERLINK") for line in lines)


def test_the_terminal_shows_names_as_they_are() -> None:
    scores = {
        name: dict.fromkeys([score.name for score in SALIENCY_SCORES], 0.5) for name in HOSTILE
    }
    missing = {name: {"predictions": [], "ground_truths": []} for name in HOSTILE}
    results = {"scores": scores, "num_images": dict.fromkeys(HOSTILE, 3), "missing": missing}
    results["protocol"] = "as it is"
    output = io.StringIO()
    Console(file=output, width=300).print(_table(SALIENCY_SCORES, scores, results["num_images"]))
    for name in HOSTILE:
        assert name in output.getvalue()
    for table in (scores_table(results, SALIENCY_SCORES), hostile_table()):
        output = io.StringIO()
        print_table(table, Console(file=output, width=300))
        for name in HOSTILE:
            assert name in output.getvalue()


def test_the_status_of_a_sweep_shows_its_folder_as_it_is(tmp_path: Path) -> None:
    content = {
        "method": "grid",
        "parameters": {"model.loss": {"values": ["x[/x]"]}, "model.a": {"values": ["x[red]"]}},
        "command": ["mutualformer", "trial", "--folder", str(tmp_path / "[/y]")]
        + ["--config", "a", "${args}"],
    }
    path = tmp_path / "[bold]sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    output = io.StringIO()
    print_status(read_sweep(path), Console(file=output, width=400))
    assert all(name in output.getvalue() for name in ("[bold]", "[/y]", "[red]"))


def test_no_folder_s_name_commands_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("\x1b[2J\x1b]0;owned\x07", "[/red]", "[red]", "caf\udce9", "a\nb"):
        for folder in ("RGB", "depth", "GT"):
            path = tmp_path / name / folder
            path.mkdir(parents=True)
            (path / "x.png").write_bytes(b"no image")
            (path / f"{name.replace('/', '')}.png").write_bytes(b"no image")
    with pytest.raises(SystemExit, match="2"):
        main(
            ["evaluate", "--predictions", str(tmp_path / "[red]" / "RGB"), "--ground-truth"]
            + [str(tmp_path / "\x1b[2J\x1b]0;owned\x07" / "GT")]
        )
    assert main(["data", "check", str(tmp_path), "--workers", "0"]) == 1
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "\x1b[2J" not in text and "\x07" not in text and "owned" in text
        text.encode()
    assert "[/red]" in captured.out
