"""Training and testing on two processes gives what one process gives."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch


def curve(folder: Path) -> list[float]:
    path = sorted(folder.glob("logs/**/metrics.csv"))[0]
    rows = list(csv.DictReader(path.open()))
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


SAME = [
    "--model.network=network_without_chance.NetworkWithoutChance",
    # Layer normalisation only: batch statistics would differ between parts of a batch.
    "--model.network.encoder_name=tu-convnext_atto",
    "--model.optimizer.lr=0.0003",
    "--trainer.gradient_clip_val=1.0",
    "--data.num_train=8",
    # Sums over a batch round differently with its size.
    "--data.eval_batch_size=1",
]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def results(folder: Path) -> dict[str, object]:
    content = json.loads((folder / "results.json").read_text())
    content["table"] = (folder / "per_image_scores.csv").read_bytes()
    return {
        key: content[key] for key in ("scores", "num_images", "data_digest", "table", "world_size")
    }


@pytest.fixture(scope="module")
def one(mutualformer: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on one process."""
    folder = tmp_path_factory.mktemp("one")
    mutualformer("fit", folder, *SAME, "--trainer.max_epochs=2", "--data.batch_size=4")
    assert len(curve(folder)) == 4
    assert max(curve(folder)) - min(curve(folder)) > 0.02  # far more than the tolerance below
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_what_one_gives(
    mutualformer: Callable, one: Path, tmp_path: Path, strategy: str
) -> None:
    two = tmp_path / "two"
    overlay = tmp_path / "two.yaml"
    spelling = "ddp" if strategy == "ddp" else "{class_path: fsdp_on_cpu.FSDPOnCPU}"
    overlay.write_text(f"trainer: {{devices: 2, strategy: {spelling}}}")
    on_two = [*SAME, "--config", str(overlay), "--data.batch_size=2"]

    mutualformer("fit", two, *on_two, "--trainer.max_epochs=2", "--test_after_fit=true")
    assert curve(two) == pytest.approx(curve(one), rel=1e-4)
    expected = weights(one)
    assert weights(two).keys() == expected.keys()
    for name, weight in weights(two).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-2, atol=1e-3)

    # Five images: the processes get three and two.
    together = results(two)
    mutualformer("test", two, *SAME)
    alone = results(two)
    assert (alone.pop("world_size"), together.pop("world_size")) == (1, 2)
    assert together == alone and alone["num_images"] == {"synthetic": 5}

    if strategy == "fsdp":
        last = two / "checkpoints/last.ckpt"
        mutualformer("fit", two, *on_two, "--trainer.max_epochs=3", f"--ckpt_path={last}")
        assert torch.load(last, weights_only=True)["global_step"] == 6
