"""Training and testing on two processes gives what one process gives."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

CONFIG = Path(__file__).with_name("tiny.yaml")


def mutualformer(command: str, folder: Path, *options: str) -> None:
    ours = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    repository = str(CONFIG.parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([repository, str(CONFIG.parent)])
    environment["OMP_NUM_THREADS"] = "1"
    subprocess.run(
        [
            *(sys.executable, "-m", "lightning_modules.main", command, "--config", str(CONFIG)),
            *(f"--trainer.default_root_dir={folder}", *options),
        ],
        env=environment,
        check=True,
        timeout=300,
    )


def curve(folder: Path) -> list[float]:
    (path,) = folder.glob("logs/**/metrics.csv")
    rows = list(csv.DictReader(path.open()))
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


@pytest.mark.slow
def test_loss_curve_and_scores_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    same = [
        "--model.network=network_without_chance.NetworkWithoutChance",
        # Layer normalisation only: batch statistics would differ between parts of a batch.
        "--model.network.encoder_name=tu-convnext_atto",
        "--model.optimizer.lr=0.0003",
        "--trainer.max_epochs=2",
        "--data.num_train=8",
    ]
    mutualformer("fit", one, *same, "--trainer.devices=1", "--data.batch_size=4")
    mutualformer("fit", two, *same, "--trainer.devices=2", "--data.batch_size=2")
    assert len(curve(one)) == 4
    assert curve(two) == pytest.approx(curve(one), rel=1e-4)
    assert max(curve(one)) - min(curve(one)) > 0.02  # far more than the tolerance
    weights = [
        torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (one, two)
    ]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-2, atol=1e-3)

    # Five images: the processes get three and two. Sums over a batch round differently with its
    # size, hence one image at a time.
    results = []
    for num_devices in (1, 2):
        mutualformer(
            "test",
            two,
            *same,
            f"--trainer.devices={num_devices}",
            "--data.eval_batch_size=1",
        )
        results.append(json.loads((two / "results.json").read_text()))
        results[-1]["table"] = (two / "per_image_scores.csv").read_bytes()
    assert [result["world_size"] for result in results] == [1, 2]
    for key in ("scores", "num_images", "data_digest", "table"):
        assert results[0][key] == results[1][key]
    assert results[0]["num_images"] == {"synthetic": 5}
