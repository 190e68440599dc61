"""Scores of segmentation against a slow count, pixel by pixel, and against torchmetrics."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from lightning_modules.metrics.confusion_records import ConfusionRecords
from lightning_modules.metrics.confusion_scores import (
    ConfusionScores,
    count_confusion,
    describe_scores,
)
from lightning_modules.metrics.per_image_files import (
    read_per_image_scores,
    write_per_image_scores,
)
from lightning_modules.runs.score import check_scores

CLASSES = ["wall", "floor mat", "bed", "lamp", "nowhere"]
SIZES = [(1, 1), (7, 3), (31, 17), (64, 65)]


def images(seed: int, void: float = 0.2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return predictions and labels of odd sizes: no class 4 anywhere, class 3 in predictions."""
    generator = np.random.default_rng(seed)
    pairs = []
    for size in SIZES:
        label = generator.integers(0, 3, size)
        right = generator.random(size) < 0.6
        prediction = np.where(right, label, generator.integers(0, 4, size))
        label = np.where(generator.random(size) < void, 255, label).astype(np.uint8)
        pairs.append((torch.from_numpy(prediction), torch.from_numpy(label)))
    return pairs


def count_slowly(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    counts = np.zeros((len(CLASSES), len(CLASSES)), int)
    for prediction, label in pairs:
        for row, column in product(*map(range, label.shape)):
            if label[row, column] != 255:
                counts[int(label[row, column]), int(prediction[row, column])] += 1
    return counts


def scores_slowly(counts: np.ndarray) -> dict[str, float]:
    iou, accuracy, weighted = [], [], []
    for index in range(len(counts)):
        hit, of_label = counts[index, index], sum(counts[index])
        union = of_label + sum(counts[:, index]) - hit
        iou.append(hit / union if union else math.nan)
        accuracy.append(hit / of_label if of_label else math.nan)
        weighted.append(of_label * hit / union if union else 0.0)
    total = counts.sum()
    known = [x for x in iou if not math.isnan(x)]
    there = [x for x in accuracy if not math.isnan(x)]
    return {
        "miou": sum(known) / len(known),
        "miou_absent_zero": sum(known) / len(counts),
        "mean_accuracy": sum(there) / len(there),
        "mean_accuracy_absent_zero": sum(there) / len(counts),
        "pixel_accuracy": sum(counts.diagonal()) / total,
        "fw_iou": sum(weighted) / total,
        "iou_wall": iou[0],
        "iou_floor_mat": iou[1],
        "iou_bed": iou[2],
        "iou_lamp": iou[3],
        "iou_nowhere": iou[4],
    }


def score(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> ConfusionScores:
    metric = ConfusionScores(CLASSES)
    for prediction, label in pairs:
        metric.update(prediction, label)
    return metric


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_a_slow_count(seed: int) -> None:
    pairs = images(seed)
    metric = score(pairs)
    expected = count_slowly(pairs)
    assert (metric.confusion.numpy() == expected).all()
    got = {name: value.item() for name, value in metric.compute().items()}
    assert list(got) == [each.name for each in describe_scores(CLASSES)]
    assert got == pytest.approx(scores_slowly(expected), rel=1e-15, nan_ok=True)
    # Class 3 is predicted and in no label, class 4 is nowhere: both conventions tell them apart.
    assert got["iou_lamp"] == 0 and math.isnan(got["iou_nowhere"])
    assert got["miou"] == pytest.approx(got["miou_absent_zero"] * 5 / 4)
    assert got["mean_accuracy"] == pytest.approx(got["mean_accuracy_absent_zero"] * 5 / 3)


def test_scores_equal_torchmetrics_where_it_defines_the_same() -> None:
    pairs = images(3)
    got = score(pairs).compute()
    options = {"num_classes": len(CLASSES), "ignore_index": 255}
    # It leaves classes out that are in neither, and weights by the labels' frequencies.
    theirs = {
        "miou": MulticlassJaccardIndex(**options),
        "fw_iou": MulticlassJaccardIndex(**options, average="weighted"),
        "pixel_accuracy": MulticlassAccuracy(**options, average="micro"),
    }
    for prediction, label in pairs:
        for metric in theirs.values():
            metric.update(prediction.flatten(), label.flatten().long())
    for name, metric in theirs.items():
        assert got[name].item() == pytest.approx(metric.compute().item(), rel=1e-6)


def test_void_is_never_counted_whatever_is_predicted_there() -> None:
    pairs = images(4)
    expected = score(pairs).confusion
    generator = torch.Generator().manual_seed(0)
    changed = [
        (torch.where(y == 255, torch.randint(0, 5, x.shape, generator=generator), x), y)
        for x, y in pairs
    ]
    assert torch.equal(score(changed).confusion, expected)


def test_parts_in_any_order_give_the_same_bits() -> None:
    pairs = images(5)
    whole = score(pairs).compute()
    parts = score(pairs[2:])
    parts.merge_state(score(pairs[:2]))
    merged = parts.compute()
    assert all(torch.equal(whole[x], merged[x]) or whole[x].isnan() for x in whole)


def test_where_nothing_counts_no_score_is_made_up() -> None:
    void = torch.full((3, 5), 255, dtype=torch.uint8)
    scores = score([(torch.zeros(3, 5, dtype=torch.long), void)]).compute()
    assert all(value.isnan() for value in scores.values())


def test_an_image_that_is_all_void_has_empty_cells_and_changes_nothing(tmp_path: Path) -> None:
    void = torch.full((3, 5), 255, dtype=torch.uint8)
    pairs = [*images(6), (torch.zeros(3, 5, dtype=torch.long), void)]
    confusions = [count_confusion(x, y, len(CLASSES)) for x, y in pairs]
    names = [f"{number}" for number in range(len(pairs))]
    records = ConfusionRecords.from_confusions("A", names, confusions, CLASSES)
    write_per_image_scores(tmp_path / "a.csv", records)
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert rows[-1] == f"A,{names[-1]},scored,,,confusion-matrix"
    assert not any(",," in row for row in rows[:-1])
    read = read_per_image_scores(tmp_path / "a.csv")
    expected = score(pairs[:-1]).compute()
    for name, value in read.scores().items():
        assert torch.equal(value, expected[name]) or value.isnan() and expected[name].isnan()


@pytest.mark.parametrize(
    ("prediction", "label", "message"),
    [
        (torch.tensor([[5]]), torch.tensor([[0]]), "predictions from 5 to 5, expected 5 classes"),
        (torch.tensor([[0]]), torch.tensor([[7]]), "labels go up to 7"),
        (torch.tensor([[-1]]), torch.tensor([[0]]), "predictions from -1"),
        (torch.tensor([[0, 1]]), torch.tensor([[0]]), r"a prediction is \(1, 2\)"),
    ],
)
def test_a_class_that_is_none_is_refused(
    prediction: torch.Tensor, label: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        count_confusion(prediction, label, len(CLASSES))


def test_any_choice_of_images_can_be_scored_anew() -> None:
    pairs = images(6)
    confusions = [count_confusion(x, y, len(CLASSES)) for x, y in pairs]
    names = [f"{index}" for index in range(len(pairs))]
    records = ConfusionRecords.from_confusions("NYU", names, confusions, CLASSES)
    check_scores("records", records.descriptions)
    of_shares = records.weighted_scores()
    equal = of_shares(torch.full((4,), 0.25, dtype=torch.float64))
    whole = score(pairs).compute()
    assert {x: y.item() for x, y in equal.items()} == pytest.approx(
        {x: y.item() for x, y in whole.items()}, nan_ok=True, rel=1e-12
    )
    # The second image twice, the last one once: as if these were the data set.
    shares = torch.tensor([[0, 2 / 3, 0, 1 / 3]], dtype=torch.float64)
    drawn = of_shares(shares)["miou"]
    assert drawn.shape == (1,)
    expected = score([pairs[1], pairs[1], pairs[3]]).compute()["miou"]
    torch.testing.assert_close(drawn[0], expected)
    alone = records.image_scores()["miou"][2]
    torch.testing.assert_close(alone, score([pairs[2]]).compute()["miou"])
