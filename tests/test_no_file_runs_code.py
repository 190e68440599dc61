"""No file runs code when it is read: no pickle, no YAML, no image."""

import ast
import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from datamodules.errors import DataError
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.image_files import read_rgb
from lightning_modules.evaluation.map_files import pair_maps, read_pair
from lightning_modules.main import main
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.runs.results import ResultsError, read_results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.yaml_text import load_yaml
from mutualformer.network.encoders import build_encoder

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("mutualformer", "lightning_modules", "datamodules")
# Bytes that this very process, or a worker of it, has just made.
MAY_PICKLE = {"lightning_modules/evaluation/score_maps.py"}


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
        assert np.array_equal(read_rgb(path, cache), expected)
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

    from datamodules.prepare.unpack import make_plan

    payload = pickle.dumps(Execute(trace))
    folder = tmp_path / "test"
    folder.mkdir()
    columns = {name: [{"bytes": payload, "path": "a.png"}] for name in ("rgb", "depth", "gt")}
    table = pyarrow.table({**columns, "name": ["a.png"]}, metadata={"huggingface": payload[:0]})
    parquet.write_table(table, folder / "a.parquet")
    with pytest.raises(DataError, match="cannot be decoded"):
        make_plan(folder, "NLPR", "test")
    (folder / "a.parquet").write_bytes(payload)
    with pytest.raises(DataError, match=r"a\.parquet"):
        make_plan(folder, "NLPR", "test")
    assert not trace.exists()


def test_a_trial_does_not_execute_the_checkpoint_that_it_finds(tmp_path: Path, trace: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps(Execute(trace)))
    assert RunFolder(tmp_path).usable_checkpoint() is None
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
    with pytest.raises(DataError, match="no image format that is known"):
        read_pair(*pair[1:])
    assert not trace.exists()
    with contextlib.suppress(Exception), Image.open(pair[1]) as image:
        image.load()
    assert trace.exists()  # or this would prove nothing
