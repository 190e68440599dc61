"""Segmentation through the command line and in two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.main import main
from lightning_modules.metrics.per_image_files import read_per_image_scores
from lightning_modules.runs.results import read_results
from tests.datamodules.segmentation_folders import add_nyu, write_list

HERE = Path(__file__).parent
NETWORK = [
    *("--config", str(HERE / "tiny.yaml"), "--model", "lightning_modules.SegmentationModule"),
    *("--affinity_maps.num_samples=0", "--trainer.limit_train_batches=1"),
]
SYNTHETIC = [
    *NETWORK,
    *("--data", "datamodules.SyntheticSegmentationDataModule", "--model.network.num_classes=5"),
    *("--data.num_train=2", "--data.num_val=2", "--data.num_test=3", "--data.image_size=64"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "seg"
    place = f"--trainer.default_root_dir={folder}"
    assert main(["fit", *SYNTHETIC, place, "--test_after_fit=true"]) == 0
    return folder


def test_results_hold_every_score_and_name_the_protocol(trained: Path) -> None:
    results = read_results(trained / "results.json")
    scores = results.scores["synthetic"]
    assert list(scores)[:2] == ["miou", "miou_absent_zero"]
    assert {"iou_ground", "iou_warm_bump", "iou_cold_dent"} < scores.keys()
    assert "64 × 64 pixels, whole images, scale 1, not mirrored" in results.protocol
    assert next(iter(results.validation)) == "val/held_out/miou"
    for name in ("contact_sheet_train.png", "contact_sheet_test.png", "learning_curves.png"):
        assert (trained / name).is_file()
    records = read_per_image_scores(trained / "per_image_scores.csv")
    assert records.classes[1] == "warm bump" and len(records) == 3


def test_test_time_options_are_in_the_protocol(trained: Path, tmp_path: Path) -> None:
    options = ["--model.test_scales=[1.0,1.5]", "--model.test_flip=true"]
    options += ["--model.test_window=[48,64]", f"--trainer.default_root_dir={tmp_path}"]
    checkpoint = f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}"
    assert main(["test", *SYNTHETIC, *options, checkpoint]) == 0
    protocol = read_results(tmp_path / "results.json").protocol
    assert "windows of 48 × 64 pixels that move by 2/3, scales 1, 1.5, mirrored too" in protocol


def test_predictions_score_what_the_test_scored(trained: Path, tmp_path: Path) -> None:
    place = f"--trainer.default_root_dir={trained}"
    assert (
        main(["predict", *SYNTHETIC, place, "--predictions.output_dir", str(tmp_path / "p")]) == 0
    )
    maps = sorted((tmp_path / "p" / "synthetic").glob("*.png"))
    assert len(maps) == 3 and len(list((tmp_path / "p_overlays").rglob("*.png"))) == 3
    from datamodules.synthetic_segmentation_data_module import SyntheticSegmentationDataset
    from lightning_modules.metrics.confusion_scores import ConfusionScores

    dataset = SyntheticSegmentationDataset(3, 0, "test", 64)
    metric = ConfusionScores(["a", "b", "c", "d", "e"])
    for path, item in zip(maps, dataset, strict=False):
        prediction = torch.from_numpy(np.asarray(Image.open(path)))
        metric.update(prediction, item["ground_truth"])
    stated = read_results(trained / "results.json").scores["synthetic"]["miou"]
    assert metric.compute()["miou"].item() == stated


def test_an_export_says_what_its_logits_mean(trained: Path, tmp_path: Path) -> None:
    from mutualformer import MutualFormerNetwork

    folder = tmp_path / "export"
    assert main(["export", str(trained), "--format=safetensors", f"--output={folder}"]) == 0
    config = json.loads((folder / "config.json").read_text())
    assert config["output"]["shape"][1] == 5 and "class" in config["output"]["meaning"]
    assert config["label_map"]["classes"][1] == "warm bump"
    network = MutualFormerNetwork.from_pretrained(folder)
    assert network(torch.rand(1, 3, 40, 50), torch.rand(1, 1, 40, 50)).shape == (1, 5, 40, 50)


def test_comparing_with_saliency_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(trained), str(trained), "--resamples=100"]) == 0
    assert "iou_warm_bump" in capsys.readouterr().out
    other = tmp_path / "a.csv"
    other.write_text("dataset,name,status,mae,protocol\nA,1,scored,0.1,pysodmetrics-1.6\n")
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(trained), str(other)])
    assert ended.value.code == 2
    assert "expected scores of one task" in capsys.readouterr().err


def unknown_value(folder: Path) -> list[str]:
    Image.fromarray(np.full((48, 64), 99, np.uint8)).save(folder / "Label" / "0001.png")
    return []


def no_label(folder: Path) -> list[str]:
    (folder / "Label" / "0001.png").unlink()
    return []


def no_depth(folder: Path) -> list[str]:
    (folder / "Depth" / "0001.png").unlink()
    return []


def three_channels(folder: Path) -> list[str]:
    Image.new("RGB", (64, 48)).save(folder / "Label" / "0001.png")
    return []


def other_size(folder: Path) -> list[str]:
    Image.new("L", (32, 48)).save(folder / "Label" / "0001.png")
    return []


def empty_list(folder: Path) -> list[str]:
    (folder / "train.txt").write_text("")
    return []


def missing_files(folder: Path) -> list[str]:
    write_list(folder / "train.txt", ["0000", "0500"])
    return []


def other_classes(folder: Path) -> list[str]:
    return ["--model.network.num_classes=37"]


BAD_INPUT = {
    unknown_value: "Label/0001.png: the value 99 in 100.00% of its pixels is unknown",
    no_label: "train.txt: 1 of 5 samples are not all there (line 2: 0001, no label)",
    no_depth: "train.txt: 1 of 5 samples are not all there (line 2: 0001, no depth image)",
    three_channels: "0001.png: the same grey value in three channels, expected one channel",
    other_size: "the label has 48 × 32 pixels (height × width), expected 48 × 64",
    empty_list: "train.txt: the list is empty",
    missing_files: "train.txt: 1 of 2 samples are not all there (line 2: 0500, no RGB image",
    other_classes: "num_classes of MutualFormerNetwork is 37, and RGBXSegmentationDataModule has ",
}


@pytest.mark.parametrize("damage", BAD_INPUT, ids=lambda damage: damage.__name__)
def test_bad_input_is_one_message_before_training(
    damage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = add_nyu(tmp_path)
    options = [
        *(*NETWORK, "--data", "datamodules.RGBXSegmentationDataModule", f"--data.root={folder}"),
        *("--data.train_splits=[train.txt]", "--data.image_size=32", "--data.num_workers=0"),
        *("--model.network.num_classes=40", f"--trainer.default_root_dir={tmp_path / 'run'}"),
        *damage(folder),
    ]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *options])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert BAD_INPUT[damage] in error and "Traceback" not in error
    assert error.count("error: ") == 1
    assert not list((tmp_path / "run").rglob("*.ckpt"))


@pytest.mark.slow
def test_two_processes_score_as_one_bit_for_bit(tmp_path: Path) -> None:
    sys.path.insert(0, str(HERE))
    try:
        from segmentation_in_processes import run
    finally:
        sys.path.remove(str(HERE))
    run(str(tmp_path / "one"), 1)
    ours = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    script = str(HERE / "segmentation_in_processes.py")
    finished = subprocess.run(
        [sys.executable, script, str(tmp_path / "two")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    one, two = (json.loads((tmp_path / x / "results.json").read_text()) for x in ("one", "two"))
    assert two["world_size"] == 2 and one["num_images"] == two["num_images"] == {"synthetic": 7}
    assert one["scores"] == two["scores"] and one["data_digest"] == two["data_digest"]
    tables = [(tmp_path / x / "per_image_scores.csv").read_text() for x in ("one", "two")]
    assert tables[0] == tables[1]
