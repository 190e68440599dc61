"""The loss of segmentation against its definition."""

import math

import pytest
import torch

from mutualformer.losses import segmentation_loss


def example() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 3, 5, 7, generator=generator)
    label = torch.randint(0, 3, (2, 5, 7), generator=generator)
    label[0, :2] = 255
    return logits, label


def pixels(logits: torch.Tensor, label: torch.Tensor) -> list[tuple[int, float]]:
    """Return class and its probability of every labelled pixel."""
    probabilities = logits.softmax(1)
    return [
        (int(label[b, r, c]), float(probabilities[b, int(label[b, r, c]), r, c]))
        for b in range(2)
        for r in range(5)
        for c in range(7)
        if label[b, r, c] != 255
    ]


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0]])
def test_the_loss_is_the_weighted_mean_over_labelled_pixels(weights: list[float] | None) -> None:
    logits, label = example()
    own = weights or [1.0, 1.0, 1.0]
    known = pixels(logits, label)
    expected = sum(-own[y] * math.log(p) for y, p in known) / sum(own[y] for y, _ in known)
    given = None if weights is None else torch.tensor(weights)
    assert segmentation_loss(logits, label, given).item() == pytest.approx(expected, rel=1e-5)


def test_hard_example_mining_keeps_pixels_below_the_threshold() -> None:
    logits, label = example()
    hard = [p for _, p in pixels(logits, label) if p < 0.4]
    expected = sum(-math.log(p) for p in hard) / len(hard)
    loss = segmentation_loss(logits, label, ohem_threshold=0.4)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_hard_example_mining_keeps_a_sixteenth_where_all_is_easy() -> None:
    logits, label = example()
    known = sorted(p for _, p in pixels(logits, label))
    kept = known[: len(known) // 16]
    loss = segmentation_loss(logits, label, ohem_threshold=1e-9)
    expected = sum(-math.log(p) for p in kept) / len(kept)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_hard_example_mining_asks_for_the_probability_whatever_the_weights() -> None:
    logits, label = example()
    weights = torch.tensor([0.1, 3.0, 1.0])
    hard = [(y, p) for y, p in pixels(logits, label) if p < 0.4]
    total = sum(float(weights[y]) for y, _ in hard)
    expected = sum(-float(weights[y]) * math.log(p) for y, p in hard) / total
    loss = segmentation_loss(logits, label, weights, ohem_threshold=0.4)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("threshold", [None, 0.7])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.0, 0.0])])
def test_a_batch_without_a_label_that_counts_costs_nothing(
    threshold: float | None, weights: torch.Tensor | None
) -> None:
    logits, label = example()
    logits.requires_grad_()
    label[:] = 255 if weights is None else 1  # all void, or all of a class of weight 0
    loss = segmentation_loss(logits, label, weights, threshold)
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()
