"""CMX: its formulas pixel by pixel and head by head, its size, what it refuses."""

import pytest
import torch
from literal_fusion import batch_norm, check_against, convolve_grid, count, layer_norm, linear
from torch import Tensor

from mutualformer.fusions import CMX


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def rectified(fusion: CMX, rgb: Tensor, depth: Tensor) -> list[Tensor]:
    rectify, dim = fusion.rectify, rgb.shape[-1]
    pooled = [
        pool(x) for pool in (lambda x: x.mean(1), lambda x: x.max(1)[0]) for x in (rgb, depth)
    ]
    hidden = linear(rectify.channel[0], torch.cat(pooled, -1)).clamp(min=0)
    channel = sigmoid(linear(rectify.channel[2], hidden))  # B 2C
    rewritten = []
    for own, other, weights, index in (
        (rgb, depth, channel[:, dim:], 1),
        (depth, rgb, channel[:, :dim], 0),
    ):
        pixels = []
        for n in range(own.shape[1]):
            pixel = torch.cat((rgb[:, n], depth[:, n]), -1)
            spatial = sigmoid(
                linear(rectify.spatial[2], linear(rectify.spatial[0], pixel).clamp(min=0))
            )
            pixels.append(
                own[:, n]
                + 0.5 * weights * other[:, n]
                + 0.5 * spatial[:, index, None] * other[:, n]
            )
        rewritten.append(torch.stack(pixels, 1))
    return rewritten


def literal(fusion: CMX, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    merge, dim = fusion.merge, rgb.shape[-1]
    width = dim // merge.rgb.num_heads
    streams = rectified(fusion, rgb, depth)
    paths = (merge.rgb, merge.depth)
    split = [linear(p.project, x).clamp(min=0) for p, x in zip(paths, streams, strict=True)]
    packed = [linear(p.key_value, x[..., dim:]) for p, x in zip(paths, split, strict=True)]
    crossed = []
    for path, stream, own, other in zip(paths, streams, split, packed[::-1], strict=True):
        heads = []
        for begin in range(0, dim, width):
            head = slice(begin, begin + width)
            key, value = other[..., :dim][..., head], other[..., dim:][..., head]
            logits = torch.einsum("bni,bnj->bij", key, value) / width**0.5
            context = logits.exp() / logits.exp().sum(1, keepdim=True)  # columns add up to 1
            heads.append(torch.einsum("bni,bij->bnj", own[..., dim:][..., head], context))
        joined = linear(path.join, torch.cat((own[..., :dim], *heads), -1))
        crossed.append(layer_norm(path.norm, stream + joined))
    merged = torch.cat(crossed, -1)
    depthwise, embedded = merge.depthwise, linear(merge.reduce, merged)
    kernel = torch.zeros(dim, dim, 3, 3, dtype=rgb.dtype)
    for channel in range(dim):  # a convolution by channel is a diagonal one
        one = torch.zeros(dim, dim, 1, 1, dtype=rgb.dtype)
        one[channel, channel] = 1
        kernel = kernel + one * depthwise.weight[channel]
    embedded = convolve_grid(kernel, depthwise.bias, embedded, grid).clamp(min=0)
    embedded = batch_norm(merge.norm_embedded.norm, linear(merge.expand, embedded))
    return batch_norm(merge.norm.norm, linear(merge.residual, merged) + embedded)


@pytest.mark.parametrize("num_heads", [1, 2, 6])
def test_equals_its_formulas(num_heads: int) -> None:
    check_against(CMX(6, num_heads=num_heads), literal, 6)


def test_streams_that_go_on_are_the_rectified_ones() -> None:
    fusion = CMX(8).double()
    rgb, depth = torch.randn(2, 3, 35, 8, dtype=torch.float64)
    expected = rectified(fusion, rgb, depth)
    torch.testing.assert_close(list(fusion.fuse_and_rewrite(rgb, depth, (5, 7))[1:]), expected)


@pytest.mark.parametrize(
    ("dim", "rectification", "fusion"),
    [
        (64, 107_074, 71_296),
        (128, 427_138, 281_856),
        (256, 1_706_242, 1_120_768),
        (512, 6_820_354, 4_469_760),
    ],
)
def test_has_the_parameters_of_its_source(dim: int, rectification: int, fusion: int) -> None:
    with torch.device("meta"):
        built = CMX(dim)
    assert (count(built.rectify), count(built.merge)) == (rectification, fusion)


def test_a_width_or_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="dim is 30 and num_heads is 4"):
        CMX(30, num_heads=4)
    with pytest.raises(ValueError, match="spatial_size is None for 6 tokens; CMX needs"):
        CMX(8)(torch.zeros(2, 6, 8), torch.zeros(2, 6, 8))
