"""The record written by ResultsWriter, and its table."""

import json
import math
from datetime import datetime
from importlib.metadata import version

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_modules.callbacks import ResultsWriter
from lightning_modules.callbacks.run_checkpoint import held_out_score
from lightning_modules.runs import provenance
from lightning_modules.runs.results import read_results
from lightning_modules.runs.score import SALIENCY_SCORES

METRICS = [
    *("s_measure", "f_max", "f_mean", "f_adaptive", "f_weighted"),
    *("e_max", "e_mean", "e_adaptive", "mae", "f_max_dataset"),
]


def test_record_and_table(tmp_path, trainer, module, loader, monkeypatch, capsys):
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    writer = ResultsWriter()
    run = trainer(writer)
    loaders = [loader("NJU2K", 3), loader("DES", 2, (20, 33))]
    run.test(module, loaders, verbose=False)

    assert writer.path == tmp_path / "results.json"
    results = json.loads(writer.path.read_text())
    assert list(results["scores"]) == ["DES", "NJU2K"]
    for dataset, scores in results["scores"].items():
        assert sorted(scores) == sorted(METRICS)
        for name, value in scores.items():
            logged = run.callback_metrics[f"test/{dataset}/{name}"].item()
            assert value == module.latest_scores[dataset][name] == pytest.approx(logged, rel=1e-6)
    assert read_results(writer.path).descriptions == SALIENCY_SCORES
    assert results["num_images"] == {"NJU2K": 3, "DES": 2}
    assert results["seed"] == 7
    assert results["checkpoint"] is None
    assert results["world_size"] == 1
    assert results["device"].startswith("cpu")
    assert results["packages"]["torch"] == version("torch")
    assert "PySODMetrics 1.6" in results["protocol"]
    assert datetime.fromisoformat(results["date"]).utcoffset().total_seconds() == 0

    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if "NJU2K" in line)
    cells = [cell.strip() for cell in row.strip("│┃| ").split("│")]
    scores = results["scores"]["NJU2K"]
    shown = ("s_measure", "f_max", "e_max", "mae")
    assert cells == ["NJU2K", "3"] + [f"{scores[name]:.3f}" for name in shown]
    assert str(writer.path) in printed


def test_a_data_set_may_be_called_anything(trainer, module, loader):
    writer = ResultsWriter()
    trainer(writer).test(module, [loader("a/b/mae", 2), loader("a", 2)], verbose=False)
    results = read_results(writer.path)
    assert results.scores["a/b/mae"] == results.scores["a"]
    assert results.num_images == {"a": 2, "a/b/mae": 2}


def test_checkpoint_is_named(tmp_path, trainer, module, loader):
    run = trainer()
    run.strategy.connect(module)
    run.save_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    writer = ResultsWriter()
    trainer(writer).test(module, loader("A", 2), ckpt_path=tmp_path / "best.ckpt", verbose=False)
    assert json.loads(writer.path.read_text())["checkpoint"] == str(tmp_path / "best.ckpt")


@pytest.mark.parametrize(
    ("tested", "score", "expected"),
    [
        ("moved/checkpoints/best.ckpt", torch.tensor(0.5), {"val/held_out/mae": 0.5}),
        ("run/checkpoints/last.ckpt", torch.tensor(0.5), {}),
        ("run/checkpoints/best.ckpt", torch.tensor(math.nan), {}),
    ],
)
def test_the_held_out_score_is_that_of_the_checkpoint_itself(tested, score, expected):
    state = {"monitor": "val/held_out/mae", "best_k_models": {"run/checkpoints/best.ckpt": score}}
    checkpoint = {"callbacks": {"RunCheckpoint": state | {"current_score": torch.tensor(0.7)}}}
    assert held_out_score(checkpoint, tested) == expected
    assert held_out_score({"callbacks": {}}, tested) == held_out_score({}, tested) == {}


def test_digest_follows_names_and_masks_but_not_their_order(trainer, module, loader):
    def digest(batches):
        writer = ResultsWriter()
        trainer(writer).test(module, DataLoader(list(batches), batch_size=None), verbose=False)
        return json.loads(writer.path.read_text())["data_digest"]["A"]

    batches = list(loader("A", 4))
    expected = digest(batches)
    assert digest(batches[::-1]) == expected
    assert digest([*batches, batches[0]]) != expected
    assert digest(loader("A", 4, names=["w", "x", "y", "z"])) != expected
    assert digest(loader("A", 4, (31, 40))) != expected


def test_repeated_runs_do_not_add_up(trainer, module, loader):
    writer = ResultsWriter()
    run = trainer(writer)
    for _ in range(2):
        run.test(module, loader("A", 3), verbose=False)
    assert json.loads(writer.path.read_text())["num_images"] == {"A": 3}


def test_unknown_facts_are_null(trainer, module, loader, monkeypatch):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    monkeypatch.setattr(
        type(module),
        "on_test_epoch_end",
        lambda self: setattr(self, "latest_scores", {"A": {"mae": float("nan")}}),
    )
    writer = ResultsWriter()
    trainer(writer).test(module, loader("A", 1), verbose=False)
    results = json.loads(writer.path.read_text())
    assert results["seed"] is None and results["git"] is None
    assert results["packages"] == {"no-such-package": None}
    assert results["scores"] == {"A": {"mae": None}}
