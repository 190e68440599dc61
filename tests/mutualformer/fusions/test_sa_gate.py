"""SA-Gate: its formulas pixel by pixel, its size, what it refuses."""

import pytest
import torch
from literal_fusion import check_against, count, linear
from torch import Tensor

from mutualformer.fusions import SAGate


def literal(fusion: SAGate, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    separated = []
    for part, main, guide in (
        (fusion.separate_rgb, rgb, depth),
        (fusion.separate_depth, depth, rgb),
    ):
        pooled = torch.cat((guide.mean(1), main.mean(1)), -1)
        hidden = linear(part.weights[0], pooled).clamp(min=0)
        channel = 1 / (1 + (-linear(part.weights[2], hidden)).exp())
        pixels = [main[:, n] + channel * guide[:, n] for n in range(main.shape[1])]
        separated.append(torch.stack(pixels, 1))
    pixels = []
    for n in range(rgb.shape[1]):
        logits = linear(fusion.gates, torch.cat([x[:, n] for x in separated], -1)).exp()
        gate = logits / logits.sum(-1, keepdim=True)
        pixels.append(gate[:, :1] * rgb[:, n] + gate[:, 1:] * depth[:, n])
    return torch.stack(pixels, 1)


@pytest.mark.parametrize("dim", [16, 40])
def test_equals_its_formulas(dim: int) -> None:
    check_against(SAGate(dim), literal, dim)


def test_streams_that_go_on_are_halves_without_what_is_negative() -> None:
    fusion = SAGate(16).double()
    rgb, depth = torch.randn(2, 3, 35, 16, dtype=torch.float64)
    fused = literal(fusion, rgb, depth, (5, 7))
    expected = [((x + fused) / 2).clamp(min=0) for x in (rgb, depth)]
    torch.testing.assert_close(list(fusion.fuse_and_rewrite(rgb, depth, None)[1:]), expected)


@pytest.mark.parametrize(
    ("dim", "parameters"), [(64, 1_930), (128, 6_930), (256, 26_146), (512, 101_442)]
)
def test_has_the_parameters_of_its_source(dim: int, parameters: int) -> None:
    assert count(SAGate(dim)) == parameters


def test_a_width_without_room_for_the_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="dim is 15, expected by SA-Gate at least 16"):
        SAGate(15)
