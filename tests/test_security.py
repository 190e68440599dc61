"""What no file and no name may do: run code, leave its folder, or pose as markup."""

import ast
import contextlib
import io
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from datamodules.check import check_root
from datamodules.decoded_image_cache import DecodedImageCache
from datamodules.errors import DataError
from datamodules.image_files import read_rgb
from lightning_modules.callbacks import PredictionWriter
from lightning_modules.callbacks.results_writer import _table
from lightning_modules.evaluation.map_files import MapError, pair_maps, read_pair
from lightning_modules.evaluation.score_report import terminal_table
from lightning_modules.main import main
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.results_file import ResultsError, read_results
from lightning_modules.score_names import HEADINGS
from lightning_modules.sweep.sweep_file import SweepError, read_sweep
from lightning_modules.sweep.sweep_report import print_status
from lightning_modules.sweep.trial_folder import usable_checkpoint
from lightning_modules.sweep.trial_name import trial_name
from lightning_modules.tables.formats import RENDERERS, print_table
from lightning_modules.tables.table import Cell, MissingRun, Row, Table
from lightning_modules.yaml_text import load_yaml
from mutualformer.encoders import build_encoder

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("mutualformer", "lightning_modules", "datamodules")
# Bytes that this very process, or a worker of it, has just made.
MAY_PICKLE = {"lightning_modules/evaluation/score_maps.py"}
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


class Execute:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


# Code that runs what a file holds

UNPICKLERS = ("pickle", "dill", "marshal", "shelve")


def dangers(source: str) -> list[str]:
    """Return the calls and imports in a source text that could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [alias.name for alias in node.names]
            if names != ["UnpicklingError"]:
                modules = [module] if module else names
                found += [f"import {name}" for name in modules if name in UNPICKLERS]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"):
            found.append(called)
        if called == "torch.load" and options.get("weights_only") != "True":
            found.append(called)
        if called in ("np.load", "numpy.load") and options.get("allow_pickle") != "False":
            found.append(called)
        if called.startswith("yaml.") and "load" in called and called != "yaml.safe_load":
            found.append(called)
        if options.get("shell", "False") != "False":
            found.append("shell=True")
        if called == "Image.open" and "formats" not in options:
            found.append(called)
    return found


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from pickle import loads", "eval('1')", "torch.load(p)"),
        *("torch.load(p, weights_only=False)", "np.load(p)", "np.load(p, allow_pickle=True)"),
        *("yaml.load(f)", "yaml.unsafe_load(f)", "subprocess.run(c, shell=True)", "Image.open(p)"),
    ],
)
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert dangers(line)


def test_no_code_runs_what_a_file_holds() -> None:
    paths = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]
    assert len(paths) > 100
    found = {
        str(path.relative_to(REPOSITORY)): dangers(path.read_text(encoding="utf-8"))
        for path in paths
    }
    assert found.pop(min(MAY_PICKLE)) == ["import pickle"]
    assert not {path: calls for path, calls in found.items() if calls}


# Files that hold a pickle


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a path that exists once a pickle was executed."""
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Execute(path)))
    assert path.exists()
    path.unlink()
    return path


def pickled_array(trace: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Execute(trace)], object), allow_pickle=True)
    return file.getvalue()


def test_no_pickle_is_executed_by_readers_of_results(tmp_path: Path, trace: Path) -> None:
    for name in ("results.json", "per_image_scores.csv"):
        (tmp_path / name).write_bytes(pickle.dumps(Execute(trace)))
    with pytest.raises(ResultsError, match=r"results\.json is damaged"):
        read_results(tmp_path / "results.json")
    with pytest.raises(ValueError, match=r"per_image_scores\.csv: not a table"):
        read_per_image_scores(tmp_path / "per_image_scores.csv")
    assert not trace.exists()


@pytest.mark.parametrize("inside", [True, False])
def test_no_pickle_is_executed_by_the_reader_of_counts(
    tmp_path: Path, trace: Path, inside: bool
) -> None:
    columns = ["s_measure", "f_adaptive", "f_weighted", "e_adaptive", "mae"]
    lines = [
        ",".join(["dataset", "name", "status", *columns, "protocol"]),
        "SET,a,scored,1,1,1,1,0,pysodmetrics-1.6",
    ]
    from lightning_modules.metrics.protocol import PROTOCOL_NAME

    lines[1] = lines[1].replace("pysodmetrics-1.6", PROTOCOL_NAME)
    (tmp_path / "scores.csv").write_text("\n".join([*lines, ""]))
    assert len(read_per_image_scores(tmp_path / "scores.csv")) == 1
    content = pickle.dumps(Execute(trace))
    if inside:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("digest_of_csv.npy", pickled_array(trace))
        content = file.getvalue()
    (tmp_path / "scores.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"scores\.npz: cannot be read"):
        read_per_image_scores(tmp_path / "scores.csv")
    assert not trace.exists()


def test_no_pickle_is_executed_by_the_cache_of_images(tmp_path: Path, trace: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(path)
    cache = DecodedImageCache(tmp_path / "cache")
    expected = read_rgb(path, cache)
    (stored,) = (tmp_path / "cache").rglob("*.npy")
    for content in (pickled_array(trace), pickle.dumps(Execute(trace))):
        stored.write_bytes(content)
        assert read_rgb(path, cache).equal(expected)
    assert not trace.exists()


def test_no_pickle_is_executed_by_the_reader_of_encoder_weights(
    tmp_path: Path, trace: Path
) -> None:
    for number, save in enumerate((torch.save, pickle.dump)):
        path = tmp_path / f"weights{number}.pth"
        with path.open("wb") as file:
            save({"conv1.weight": Execute(trace)}, file)
        with pytest.raises(ValueError, match=rf"weights{number}\.pth"):
            build_encoder("resnet18", weights=str(path))
    assert not trace.exists()


def test_no_pickle_is_executed_in_parquet(tmp_path: Path, trace: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from datamodules.prepare import open_source

    payload = pickle.dumps(Execute(trace))
    folder = tmp_path / "test"
    folder.mkdir()
    columns = {name: [{"bytes": payload, "path": "a.png"}] for name in ("rgb", "depth", "gt")}
    table = pyarrow.table({**columns, "name": ["a.png"]}, metadata={"huggingface": payload[:0]})
    parquet.write_table(table, folder / "a.parquet")
    with pytest.raises(DataError, match="its bytes are no image"):
        open_source(folder, tmp_path / "output").list_files()
    (folder / "a.parquet").write_bytes(payload)
    with pytest.raises(DataError, match=r"a\.parquet"):
        open_source(folder, tmp_path / "output").list_files()
    assert not trace.exists()


def test_a_trial_does_not_execute_the_checkpoint_that_it_finds(tmp_path: Path, trace: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Execute(trace)))
    assert usable_checkpoint(tmp_path) is None
    assert not trace.exists()


def test_yaml_makes_plain_values_only(tmp_path: Path, trace: Path) -> None:
    for tag in ("apply:os.system", "object/apply:os.system", "new:os.system", "name:os.system"):
        with pytest.raises(yaml.YAMLError):
            load_yaml(f"a: !!python/{tag} ['touch {trace}']")
    config = tmp_path / "config.yaml"
    config.write_text(f"seed_everything: !!python/object/apply:os.system ['touch {trace}']")
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config", str(config)])
    assert not trace.exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_no_image_is_handed_to_another_program(
    tmp_path: Path, trace: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow gives PostScript, whatever it is called, to Ghostscript."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {trace}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    postscript = io.BytesIO()
    Image.new("L", (8, 8)).save(postscript, format="EPS")
    for folder in ("maps", "GT"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a.{suffix}").write_bytes(postscript.getvalue())
    with pytest.raises(DataError, match="no image format that is known"):
        read_rgb(tmp_path / "GT" / f"a.{suffix}")
    (pair,) = pair_maps("SET", tmp_path / "maps", tmp_path / "GT", allow_missing=False).pairs
    with pytest.raises(MapError, match="cannot be read as an image"):
        read_pair(*pair[1:])
    assert not trace.exists()
    with contextlib.suppress(Exception), Image.open(pair[1]) as image:
        image.load()
    assert trace.exists()  # or this would prove nothing


# Names that lead elsewhere

ELSEWHERE = ["../up", "..", ".", "", "/tmp/up", "a/b", "a/../../up"]


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("of", ["dataset", "name"])
def test_maps_are_written_below_their_folder(tmp_path: Path, name: str, of: str) -> None:
    writer = PredictionWriter(str(tmp_path / "maps"))
    writer.directory = tmp_path / "maps"
    batch = {"name": ["a"], "dataset": ["SET"], "original_size": [(4, 4)]}
    outputs = {"saliency": torch.zeros(1, 1, 4, 4)}
    batch[of] = [name]
    with pytest.raises(ValueError, match="plain file name"):
        writer.on_predict_batch_end(None, None, outputs, batch, 0)  # type: ignore[arg-type]
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
    with pytest.raises(SweepError, match="expected a dotted name"):
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
        columns=((HOSTILE[1], "s_measure"), (HOSTILE[5], "mae")),
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
    scores = {name: dict.fromkeys(HEADINGS, 0.5) for name in HOSTILE}
    missing = {name: {"predictions": [], "ground_truths": []} for name in HOSTILE}
    results = {"scores": scores, "num_images": dict.fromkeys(HOSTILE, 3), "missing": missing}
    for shown in (terminal_table(results), _table(scores, results["num_images"])):
        output = io.StringIO()
        Console(file=output, width=300).print(shown)
        for name in HOSTILE:
            assert name in output.getvalue()
    output = io.StringIO()
    print_table(hostile_table(), Console(file=output, width=300))
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
