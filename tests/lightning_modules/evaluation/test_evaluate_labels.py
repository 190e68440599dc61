"""`mutualformer evaluate --task segmentation`: index images of any method against labels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.main import main
from lightning_modules.metrics.confusion_scores import ConfusionScores


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Write labels with values 1 to 3 and void 0, and predictions of the same values."""
    generator = np.random.default_rng(0)
    (tmp_path / "map.yaml").write_text("classes: [wall, bed, lamp]\nvoid: 0\noffset: 1\n")
    for name in ("mine/Label", "maps"):
        (tmp_path / name).mkdir(parents=True)
    for index in range(4):
        label = generator.integers(0, 3, (9 + index, 13)).astype(np.uint8)  # no lamp
        right = generator.random(label.shape) < 0.7
        prediction = np.where(right & (label > 0), label, generator.integers(1, 3, label.shape))
        Image.fromarray(label).save(tmp_path / "mine/Label" / f"{index}.png")
        Image.fromarray(prediction.astype(np.uint8)).save(tmp_path / "maps" / f"{index}.png")
    return tmp_path


def evaluate(folders: Path, *options: str) -> int:
    return main(
        [
            *("evaluate", "--task", "segmentation", "--predictions", str(folders / "maps")),
            *("--ground-truth", str(folders / "mine/Label")),
            *("--label-map", str(folders / "map.yaml"), *options),
        ]
    )


def refused(capsys: pytest.CaptureFixture[str], folders: Path, *options: str) -> str:
    with pytest.raises(SystemExit) as ended:
        evaluate(folders, *options)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_files_score_what_the_metric_scores(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table = folders / "scores.json", folders / "images.csv"
    assert evaluate(folders, "--output", str(output), "--per-image", str(table)) == 0
    metric = ConfusionScores(["wall", "bed", "lamp"])
    for path in sorted((folders / "maps").iterdir()):
        label = np.asarray(Image.open(folders / "mine/Label" / path.name)).astype(int) - 1
        label[label < 0] = 255
        prediction = torch.from_numpy(np.asarray(Image.open(path)).astype(int) - 1)
        metric.update(prediction, torch.from_numpy(label))
    expected = {x: y.item() for x, y in metric.compute().items()}
    expected["iou_lamp"] = None  # which is nowhere
    scores = json.loads(output.read_text())["scores"]
    assert scores == {"mine": expected}
    printed = capsys.readouterr().out
    assert "mIoU (absent 0)" in printed and "lamp" in printed and "void left out" in printed
    assert main(["compare", str(table), str(table), "--resamples", "100"]) == 0
    for suffix in (".csv", ".md", ".tex"):
        assert evaluate(folders, "--output", str(folders / f"scores{suffix}")) == 0
        assert "iou" in (folders / f"scores{suffix}").read_text().lower()


def test_classes_from_0_are_told_by_an_offset(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folders / "scores.json"
    evaluate(folders, "--output", str(output))
    expected = json.loads(output.read_text())["scores"]
    for path in (folders / "maps").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) - np.uint8(1)).save(path)
    assert "if class 0 is 0 there, give --prediction-offset 0" in refused(capsys, folders)
    assert evaluate(folders, "--prediction-offset", "0", "--output", str(output)) == 0
    assert json.loads(output.read_text())["scores"] == expected


def test_what_is_no_prediction_is_refused(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folders / "maps" / "1.png"
    Image.new("L", (13, 9), 1).save(path)
    assert "9 × 13 pixels (height × width), expected 10 × 13" in refused(capsys, folders)
    Image.new("RGB", (13, 10), (1, 2, 3)).save(path)
    assert "channels, expected one channel of class indices" in refused(capsys, folders)
    path.unlink()
    assert "have no prediction" in refused(capsys, folders)
    assert evaluate(folders, "--allow-missing") == 0


def test_options_of_the_other_task_are_refused(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = str(folders / "a.png")
    assert "--curves is given, which --task segm" in refused(capsys, folders, "--curves", curves)
    assert "--label-map is given" in refused(capsys, folders, "--task", "saliency")


def test_the_catalogue_knows_the_map_of_a_public_set(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--task", "segmentation", "--predictions", str(folders / "maps")]
    words += ["--ground-truth", str(folders / "mine/Label")]
    assert main([*words, "--name", "NYUDepthv2"]) == 0
    assert "otherprop" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(words)
    assert "--label-map is not given" in capsys.readouterr().err
