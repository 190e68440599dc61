"""The gated sum: what it computes, what it costs."""

import torch
from literal_fusion import check_against, count
from torch import Tensor

from mutualformer.fusions import GatedSum


def literal(fusion: GatedSum, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    weight, bias = fusion.gate.weight, fusion.gate.bias
    features = []
    for channel in range(rgb.shape[-1]):
        of_rgb, of_depth = weight[channel].chunk(2)
        logit = (of_rgb * rgb).sum(-1) + (of_depth * depth).sum(-1) + bias[channel]
        gate = 1 / (1 + (-logit).exp())
        features.append(gate * rgb[..., channel] + (1 - gate) * depth[..., channel])
    return torch.stack(features, dim=-1)


def test_equals_its_formula() -> None:
    check_against(GatedSum(6), literal, 6)


def test_parameters_are_two_c_squared_and_c() -> None:
    assert count(GatedSum(256)) == 2 * 256**2 + 256


def test_an_open_gate_is_one_modality() -> None:
    fusion = GatedSum(4)
    rgb, depth = torch.randn(2, 1, 6, 4)
    torch.nn.init.zeros_(fusion.gate.weight)
    for bias, expected in ((1e3, rgb), (-1e3, depth), (0.0, (rgb + depth) / 2)):
        torch.nn.init.constant_(fusion.gate.bias, bias)
        torch.testing.assert_close(fusion(rgb, depth), expected)
