"""Losses against their definitions, pixel by pixel."""

import pytest
import torch

from mutualformer.losses import LOSSES, weighted_bce_iou


def test_weighted_bce_iou_equals_its_definition() -> None:
    logits = torch.randn(2, 1, 6, 5, dtype=torch.float64)
    mask = (torch.rand(2, 1, 6, 5) > 0.6).double()
    total = 0.0
    for image, truth in zip(logits[:, 0], mask[:, 0], strict=True):
        sums = dict.fromkeys(("weight", "bce", "intersection", "union"), 0.0)
        for row in range(6):
            for column in range(5):
                # The window counts pixels outside the image as background.
                window = truth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                g, p = truth[row, column], image[row, column].sigmoid()
                weight = 1 + 5 * abs(window.sum() / 9 - g)
                sums["weight"] += weight
                sums["bce"] -= weight * (g * p.log() + (1 - g) * (1 - p).log())
                sums["intersection"] += weight * p * g
                sums["union"] += weight * (p + g - p * g)
        total += sums["bce"] / sums["weight"]
        total += 1 - (1 + sums["intersection"]) / (1 + sums["union"])
    torch.testing.assert_close(weighted_bce_iou(logits, mask, window_size=3), total / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_map_costs_nothing_and_a_wrong_one_costs_more(name: str) -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 10:20, 10:30] = 1
    perfect, wrong = 40 * (mask - 0.5), -40 * (mask - 0.5)
    assert LOSSES[name](perfect, mask) < 1e-4
    assert LOSSES[name](wrong, mask) > 1
    assert LOSSES[name](torch.zeros_like(mask), torch.zeros_like(mask)).isfinite()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits are \(1, 1, 8, 8\) and mask is \(1, 8, 8\)"):
        weighted_bce_iou(torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8))
