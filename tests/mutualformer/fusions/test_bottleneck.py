"""Bottleneck tokens: the formulas token by token, what passes through them, the size."""

import pytest
import torch
from literal_fusion import check_against, count, layer_norm, linear
from torch import Tensor

from mutualformer.fusions import Bottleneck
from mutualformer.fusions.bottleneck import EncoderLayer


def encode(layer: EncoderLayer, tokens: Tensor) -> Tensor:
    """Apply a pre-norm encoder layer, one head and one query at a time."""
    qkv, dim = layer.attention.qkv, tokens.shape[-1]
    query, key, value = linear(qkv.projection, layer_norm(layer.norm_attention, tokens)).split(
        dim, -1
    )
    width = dim // qkv.num_heads
    heads = []
    for begin in range(0, dim, width):
        head = slice(begin, begin + width)
        rows = []
        for n in range(tokens.shape[1]):
            weights = ((query[:, n : n + 1, head] * key[..., head]).sum(-1) / width**0.5).exp()
            weights = weights / weights.sum(-1, keepdim=True)
            rows.append((weights[..., None] * value[..., head]).sum(1))
        heads.append(torch.stack(rows, 1))
    tokens = tokens + linear(layer.projection, torch.cat(heads, -1))
    hidden = linear(layer.feed_forward[0], layer_norm(layer.norm, tokens))
    hidden = 0.5 * hidden * (1 + (hidden / 2**0.5).erf())
    return tokens + linear(layer.feed_forward[3], hidden)


def literal(fusion: Bottleneck, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    between = torch.stack([fusion.bottlenecks[0]] * len(rgb))
    size = between.shape[1]
    for layers in zip(fusion.layers_rgb, fusion.layers_depth, strict=True):
        # The order of tokens does not matter to attention: here, bottlenecks come first.
        streams = zip(layers, (rgb, depth), strict=True)
        joined = [encode(layer, torch.cat((between, x), 1)) for layer, x in streams]
        rgb, depth = (x[:, size:] for x in joined)
        between = torch.stack([x[:, :size] for x in joined]).mean(0)
    return torch.stack((rgb, depth)).mean(0)


@pytest.mark.parametrize(("num_heads", "num_bottlenecks", "num_layers"), [(1, 1, 2), (2, 4, 3)])
def test_equals_its_formulas(num_heads: int, num_bottlenecks: int, num_layers: int) -> None:
    options = {"num_bottlenecks": num_bottlenecks, "num_layers": num_layers}
    fusion = Bottleneck(4, num_heads=num_heads, mlp_ratio=1.5, **options)
    check_against(fusion, literal, 4)


def test_modalities_meet_through_the_bottlenecks_alone() -> None:
    fusion = Bottleneck(8).double()
    rgb, depth, other = torch.randn(3, 2, 6, 8, dtype=torch.float64)
    _, stream, _ = fusion.fuse_and_rewrite(rgb, depth, None)
    assert not torch.allclose(fusion.fuse_and_rewrite(rgb, other, None)[1], stream)
    # What the first layer of depth writes into the bottlenecks, and nothing else, is taken away.
    fusion.layers_depth[0].register_forward_hook(
        lambda _, inputs, output: torch.cat((output[:, :6], 0 * output[:, 6:]), 1)
    )
    _, stream, _ = fusion.fuse_and_rewrite(rgb, depth, None)
    torch.testing.assert_close(fusion.fuse_and_rewrite(rgb, other, None)[1], stream, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("dim", "layer"), [(64, 100_224), (128, 397_056), (256, 1_580_544), (512, 6_306_816)]
)
def test_has_the_parameters_of_its_source(dim: int, layer: int) -> None:
    with torch.device("meta"):
        fusion = Bottleneck(dim, num_layers=2)
    assert count(fusion) - 4 * dim == 2 * (layer - 4 * dim)  # b is there once


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_layers": 1}, "num_layers is 1, expected at least 2"),
        ({"num_bottlenecks": 0}, "num_bottlenecks is 0, expected an integer >= 1"),
        ({"num_heads": 3}, "dim is 8 and num_heads is 3"),
        ({"mlp_ratio": 0}, "mlp_ratio is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        Bottleneck(8, **options)
    assert words in str(error.value)
