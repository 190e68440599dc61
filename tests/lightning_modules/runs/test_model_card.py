"""A model card says what is known, and leaves a blank for everything else."""

import dataclasses
from pathlib import Path

import yaml

from lightning_modules.cli.export import _results_of
from lightning_modules.runs.model_card import model_card
from lightning_modules.runs.results import parse_results
from lightning_modules.runs.run_folder import RunFolder

RESULTS = parse_results(
    Path("results.json"),
    {
        "scores": {"SIP": {"s_measure": 0.9, "f_max": None, "mae": 0.0304}},
        "num_images": {"SIP": 929},
        "protocol": "at the size of the mask",
        "remarks": ["rgb was blank"],
        "checkpoint": "/somewhere/runs/a/checkpoints/best.ckpt",
    },
)
CONFIG = {
    "version": "0.1.0",
    "training": {"seed": 0, "step": 40, "checkpoint": "best.ckpt", "git": None, "data": {"a": 1}},
}


def test_it_has_the_head_of_the_hub_the_facts_and_the_scores() -> None:
    card = model_card("run", CONFIG, RESULTS)
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "mutualformer"
    assert "| seed | 0 |" in card and "| data, a | 1 |" in card and "commit" not in card
    assert "| SIP | 929 | 0.900 | – | – | 0.030 |" in card
    assert "at the size of the mask.\nrgb was blank." in card
    assert "/somewhere" not in card


def test_without_a_test_there_are_no_scores() -> None:
    card = model_card("run", CONFIG, None)
    assert "not tested" in card and "SIP" not in card
    assert card.count("*to be filled in*") == 5


def test_scores_of_another_checkpoint_are_left_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(RunFolder, "finished_results", lambda self: RESULTS)
    assert _results_of(Path("best.ckpt"), tmp_path) is RESULTS
    assert _results_of(Path("last.ckpt"), tmp_path) is None
    unknown = dataclasses.replace(RESULTS, checkpoint="")
    monkeypatch.setattr(RunFolder, "finished_results", lambda self: unknown)
    assert _results_of(Path("best.ckpt"), tmp_path) is None
    assert _results_of(tmp_path / "best.ckpt", tmp_path / "best.ckpt") is None
