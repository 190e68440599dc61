"""Damaged and hostile results, through everything that reads them."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_up_costs import made_up
from mutations import fuzz, mend_png, mutate_bytes, mutate_tree
from PIL import Image
from rich.console import Console

from lightning_modules.callbacks.learning_curves import draw_learning_curves, read_curves
from lightning_modules.costs.cost_file import read_cost
from lightning_modules.evaluation.map_files import pair_maps, read_pair
from lightning_modules.evaluation.paired_bootstrap import compare_scores
from lightning_modules.metrics import PROTOCOL, PairHistograms, PerImageScores, quantise
from lightning_modules.metrics.per_image_files import (
    counts_path,
    read_per_image_scores,
    write_per_image_scores,
)
from lightning_modules.metrics.per_image_values import per_image_values
from lightning_modules.report.formats import RENDERERS, print_table
from lightning_modules.report.sweep_report import print_failures, print_status
from lightning_modules.runs.results import read_results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_settings import check_settings
from lightning_modules.tables.build_table import build_table
from lightning_modules.tables.cost_columns import add_costs
from lightning_modules.tables.published import read_published
from lightning_modules.tables.table_file import read_table_file
from mutualformer.errors import UserError

RESULTS = {
    "scores": {"NJU2K": {"s_measure": 0.9, "mae": 0.04, "f_max": None}, "SIP": {"s_measure": 0.8}},
    "num_images": {"NJU2K": 500, "SIP": 929},
    "data_digest": {"NJU2K": "d1gest", "SIP": "0"},
    "protocol": PROTOCOL,
    "seed": 0,
    "config": {
        "seed_everything": 0,
        "model": {"network": {"init_args": {"fusion": {"epsilon": 0.3}}}},
        "trainer": {"default_root_dir": "runs/a", "max_epochs": 4},
    },
    "git": {"commit": "c0ffee1" * 5 + "c0ffe", "dirty": False},
}
METRICS = "epoch,step,train/loss,val/held_out/mae\n0,4,1.5,\n0,4,,0.25\n1,9,1.0,\n1,9,,0.2\n"


def is_mistake(error: Exception) -> bool:
    return isinstance(error, UserError)


def json_of(tree: Any, rng: random.Random) -> bytes:
    content = json.dumps(tree).encode()
    if rng.random() < 0.3:
        return mutate_bytes(content, rng)
    changed = json.loads(content)
    for _ in range(rng.choice((1, 1, 3))):
        changed = mutate_tree(changed, rng)
    return json.dumps(changed, default=str).encode()


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Return a sweep file of one trial, beside the table of it."""
    (tmp_path / "table.yaml").write_text("title: T\nsweep: sweep.yaml\n")
    content = {
        "method": "grid",
        "parameters": {"model.network.fusion.epsilon": {"values": [0.3]}},
        "command": ["mutualformer", "trial", "--folder", str(tmp_path / "runs")]
        + ["--config", "a.yaml", "${args}"],
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    read_sweep(path).trials[0].folder.mkdir(parents=True)
    return path


def shown(say: Callable[[Console], None]) -> str:
    output = io.StringIO()
    say(Console(file=output, width=200))
    text = output.getvalue()
    assert "\x1b" not in text and "\x9b" not in text
    return text


def test_results_json_and_the_tables_and_status_made_of_it(tmp_path: Path, sweep: Path) -> None:
    folder = read_sweep(sweep).trials[0].folder

    def read(path: Path) -> None:
        # A table takes a damaged file for a run still to be made, and says so.
        shown(lambda console: print_status(read_sweep(sweep), console))
        table = build_table(read_table_file(tmp_path / "table.yaml"), 100)
        shown(lambda console: print_table(table, console))
        for render in RENDERERS.values():
            assert all(line.isprintable() for line in render(table).encode().decode().split("\n"))
        assert table.problems or not table.missing
        results = read_results(path)
        assert not table.missing and results.scores
        for scores in results.scores.values():
            assert all(score is None or 0 <= score <= 1.01 for score in scores.values())

    num_read, num_refused = fuzz(
        500, folder / "results.json", lambda rng: json_of(RESULTS, rng), read, is_mistake
    )
    assert min(num_read, num_refused) > 60


def test_cost_json_and_the_table_made_of_it(tmp_path: Path, sweep: Path) -> None:
    folder = read_sweep(sweep).trials[0].folder
    (folder / "results.json").write_text(json.dumps(RESULTS))
    file = read_table_file(tmp_path / "table.yaml")
    scores = build_table(file, 100)

    def read(path: Path) -> None:
        table = add_costs(scores)
        shown(lambda console: print_table(table, console))
        for render in RENDERERS.values():
            assert all(line.isprintable() for line in render(table).encode().decode().split("\n"))
        read_cost(path)
        assert len(table.columns) > len(scores.columns)
        assert table.problems == scores.problems

    content = asdict(made_up())
    num_read, num_refused = fuzz(
        400, folder / "cost.json", lambda rng: json_of(content, rng), read, is_mistake
    )
    assert min(num_read, num_refused) > 10


@pytest.mark.parametrize("name", ["failure.json", "trial.json"])
def test_what_a_trial_leaves(tmp_path: Path, sweep: Path, name: str) -> None:
    (trial,) = read_sweep(sweep).trials
    settings = {"seed_everything": "1", "model.a": "x"}
    content = {"reason": "exit code 1", "date": "2024"} if name == "failure.json" else settings

    def read(path: Path) -> None:
        text = shown(lambda console: print_status(read_sweep(sweep), console))
        shown(lambda console: print_failures(read_sweep(sweep), console))
        if name == "failure.json":
            assert "failed" in text
            (missing,) = build_table(read_table_file(tmp_path / "table.yaml"), 100).missing
            assert missing.reason.startswith("failed") and missing.reason.isprintable()
        else:
            check_settings(path.parent, settings)

    fuzz(
        250,
        trial.folder / name,
        lambda rng: json_of(content, rng),
        read,
        is_mistake,
        str(trial.folder),
    )


def test_metrics_csv(tmp_path: Path) -> None:
    folder = tmp_path / "logs" / "version_0"
    folder.mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("trainer: {max_epochs: 4}")
    num_drawn = 0

    def read(path: Path) -> None:
        nonlocal num_drawn
        progress = RunFolder(tmp_path).read_progress()
        assert progress == "" or progress.startswith("epoch ")
        curves = read_curves(tmp_path / "logs")
        for points in curves.values():
            assert all(isinstance(step, int) and isinstance(x, float) for step, x in points)
        if "train/loss" in curves and num_drawn < 5:
            num_drawn += 1
            assert draw_learning_curves(curves, SALIENCY_SCORES).startswith(b"\x89PNG")

    num_read, _ = fuzz(
        500,
        folder / "metrics.csv",
        lambda rng: mutate_bytes(METRICS.encode(), rng),
        read,
        is_mistake,
    )
    # A picture is no reason to end a run that is trained.
    assert num_read == 500 and num_drawn == 5


def test_published_scores(tmp_path: Path) -> None:
    whole = Path(__file__).parents[3] / "experiments" / "tables" / "table1_rgbd_sod.csv"
    content = b"".join(whole.read_bytes().splitlines(keepends=True)[:40])

    def read(path: Path) -> None:
        for scores in read_published(path).values():
            assert all(0 <= score <= 1e6 for score in scores.values())

    num_read, num_refused = fuzz(
        500, tmp_path / "published.csv", lambda rng: mutate_bytes(content, rng), read, is_mistake
    )
    assert min(num_read, num_refused) > 50


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Return per-image scores of four images, with the counts beside them."""
    generator = np.random.default_rng(0)
    maps = [generator.integers(0, 256, (8, 9), np.uint8) for _ in range(4)]
    masks = [values > 120 for values in maps]
    histograms = PairHistograms.from_pairs(*([torch_of(x) for x in y] for y in (maps, masks)))
    scores = PerImageScores.from_values(
        "SET", ["a", "b", "c", "d"], histograms, per_image_values(histograms)
    )
    write_per_image_scores(tmp_path / "scores.csv", scores)
    return tmp_path / "scores.csv"


def torch_of(values: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(values)


def compare(path: Path) -> None:
    scores = read_per_image_scores(path)
    assert all(word.isprintable() for word in (*scores.datasets, *scores.names))
    if len(scores) == 4 and set(scores.datasets) == {"SET"}:
        for difference in compare_scores(scores, scores, 100)["SET"].values():
            assert difference.low == difference.high == 0


def test_per_image_scores(scored: Path) -> None:
    content = scored.read_bytes()
    # As after an edit by hand, which the counts no longer belong to.
    counts_path(scored).unlink()
    num_read, num_refused = fuzz(
        500, scored, lambda rng: mutate_bytes(content, rng), compare, is_mistake
    )
    assert min(num_read, num_refused) > 50


def test_counts_beside_per_image_scores(scored: Path) -> None:
    counts = counts_path(scored)
    content = counts.read_bytes()
    with np.load(counts) as stored:
        arrays = dict(stored)

    def change(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return mutate_bytes(content, rng)
        file = io.BytesIO()
        name = rng.choice(list(arrays))
        kind = rng.randrange(5)
        wrong = {
            0: arrays[name].ravel()[:1],
            1: np.array([{"a": 1}], object),
            2: np.zeros((4, 256), np.float16),
            3: np.zeros(3_000_000, np.uint8),
        }
        if kind < 4:
            np.savez_compressed(file, **{**arrays, name: wrong[kind]})
        else:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(f"../{name}.npy", mutate_bytes(b"\x93NUMPY\x01\x00v\x00{", rng))
        return file.getvalue()

    num_read, num_refused = fuzz(
        500, counts, change, lambda _: compare(scored), is_mistake, str(counts)
    )
    assert num_refused > 300


def test_maps_to_evaluate(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:24, :32]
    mask = ((rows - 11) ** 2 + (columns - 15) ** 2 < 60).astype(np.uint8)
    ramp = (40 + 4 * columns + 2 * rows).astype(np.uint8)
    variants = [
        (mask * 255, "PNG", {}),
        (mask * 255, "BMP", {}),
        (ramp, "PNG", {}),
        (ramp, "JPEG", {"progressive": True}),
        (ramp.astype(np.uint16) * 200, "PNG", {}),
        (ramp.astype(np.float32) / 255, "TIFF", {"compression": "tiff_lzw"}),
        (np.stack([ramp] * 3, axis=-1), "PNG", {}),
        (ramp, "GIF", {}),
        (ramp, "WEBP", {"lossless": True}),
        (ramp, "PPM", {}),
    ]
    files = []
    for values, name, options in variants:
        file = io.BytesIO()
        Image.fromarray(values).save(file, format=name, **options)
        files.append(file.getvalue())
    folders = {"prediction": tmp_path / "maps", "mask": tmp_path / "GT"}
    for folder in folders.values():
        folder.mkdir()
        (folder / "a.png").write_bytes(files[0])

    def change(rng: random.Random) -> bytes:
        changed = mutate_bytes(rng.choice(files), rng, files)
        return mend_png(changed) if rng.random() < 0.7 else changed

    def read(_: Path) -> None:
        (pair,) = pair_maps("SET", *folders.values(), allow_missing=False).pairs
        prediction, truth = read_pair(*pair[1:])
        assert prediction.shape == truth.shape and prediction.ndim == 3
        assert quantise(prediction.float() / 255, prediction.shape[-2:]).equal(prediction)
        PairHistograms.from_pairs([prediction], [truth])

    for kind, folder in folders.items():
        num_read, num_refused = fuzz(400, folder / "a.png", change, read, is_mistake)
        assert min(num_read, num_refused) > 10, kind
        (folder / "a.png").write_bytes(files[0])
