"""Folders of runs, as `mutualformer test` leaves them, of maps that are quickly made."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_modules.metrics import PROTOCOL, PairHistograms, PerImageScores
from lightning_modules.metrics.per_image_files import write_per_image_scores
from lightning_modules.metrics.per_image_scores import dataset_scores
from lightning_modules.metrics.per_image_values import per_image_values

SWEEP = """
method: grid
parameters:
  model.network.fusion.epsilon: {values: [0.0, 0.6]}
  seed_everything: {values: [0, 1]}
command: [mutualformer, trial, --folder, RUNS, --config, base.yaml, "${args}"]
"""
TABLE = """
title: Strength of the diffusion
sweep: sweep.yaml
reference: {epsilon: 0.6}
plot: epsilon
"""


def per_image_scores(dataset: str, noise: int, seed: int, num_images: int = 12) -> PerImageScores:
    """Score noisy discs; the masks depend on the data set only."""
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:24, :30]
    masks = [
        (rows - 10) ** 2 + (columns - 8 - i % 9) ** 2 < (4 + i % 5) ** 2 for i in range(num_images)
    ]
    maps = [
        (90 * mask + generator.integers(0, noise + 1, mask.shape)).clip(0, 255).astype(np.uint8)
        for mask in masks
    ]
    histograms = PairHistograms.from_pairs(
        [torch.from_numpy(image) for image in maps], [torch.from_numpy(mask) for mask in masks]
    )
    names = [f"image_{index}" for index in range(num_images)]
    return PerImageScores.from_values(dataset, names, histograms, per_image_values(histograms))


def write_run(
    folder: Path,
    *,
    noise: Mapping[str, int] | None = None,
    seed: int = 0,
    count: int = 12,
    **changes: Any,
) -> dict[str, dict[str, float]]:
    """Write `results.json` and the per-image scores; returns the scores.

    Args:
        folder: of the run.
        noise: of the maps, by data set.
        seed: of the maps and of the training.
        count: images of each data set.
        changes: replace keys of `results.json`.
    """
    parts = [
        per_image_scores(dataset, level, seed, count)
        for dataset, level in (noise or {"SET": 130}).items()
    ]
    scores = {
        part.datasets[0]: {
            name: value.item() for name, value in dataset_scores(part.means()).items()
        }
        for part in parts
    }
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "scores": scores,
        "num_images": dict.fromkeys(scores, count),
        "data_digest": dict.fromkeys(scores, "d1gest"),
        "protocol": PROTOCOL,
        "seed": seed,
        "config": {
            "seed_everything": seed,
            "trainer": {"default_root_dir": str(folder), "max_epochs": 4},
        },
        "git": {"commit": "c0ffee1" * 5 + "c0ffe", "dirty": False},
    }
    (folder / "results.json").write_text(json.dumps(results | changes))
    write_per_image_scores(folder / "per_image_scores.csv", PerImageScores.concatenate(parts))
    return scores


@pytest.fixture(name="write_run")
def write_run_fixture() -> Callable[..., dict[str, dict[str, float]]]:
    return write_run


@pytest.fixture
def sweep_table(tmp_path: Path) -> Path:
    """Return a table of a sweep over ε = 0 and 0.6 with two seeds, none of them run yet."""
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("RUNS", str(tmp_path / "runs")))
    (tmp_path / "table.yaml").write_text(TABLE)
    return tmp_path / "table.yaml"
