"""Parts of the MutualFormer block can be taken out, each under its name."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mutualformer import MutualFormerBlock
from mutualformer.errors import UserError
from mutualformer.fusions.mutualformer_mixing import PARTS

C = 8


def by_hand(block: Any, rgb: Tensor, depth: Tensor, without: set[str]) -> Tensor:
    """The formula of the block with sums for what is gone, written out."""
    mixing = block.mixing

    def convolve(convolution: Any, *streams: Tensor) -> Tensor:
        weight = convolution.convolution.weight[:, :, 0, 0]
        return torch.cat(streams, -1) @ weight.T + convolution.convolution.bias

    def add(*streams: Tensor) -> Tensor:
        return sum(streams[1:], start=streams[0])

    m = mixing.attention(mixing.norm_rgb(rgb), mixing.norm_depth(depth))
    own = "self_attention" not in without
    of_rgb = [m.rgb] * own + [m.rgb_from_depth] * ("rgb_from_depth" not in without)
    of_depth = [m.depth] * own + [m.depth_from_rgb] * ("depth_from_rgb" not in without)
    h_rgb = add(*of_rgb) if "f" in without else convolve(mixing.f_rgb, *of_rgb)
    h_depth = add(*of_depth) if "f" in without else convolve(mixing.f_depth, *of_depth)
    g = add(h_rgb, h_depth) if "g" in without else convolve(mixing.join.g, h_rgb, h_depth)
    h = add(rgb, depth) if "h" in without else convolve(mixing.join.h, rgb, depth)
    fused = g + h
    return fused if "feed_forward" in without else fused + block.feed_forward(block.norm(fused))


@pytest.mark.parametrize(
    "without",
    [
        [],
        *([part] for part in PARTS),
        ["self_attention", "f"],
        ["g", "h", "feed_forward"],
        PARTS[1:],
    ],
    ids=str,
)
def test_is_the_formula_without_the_part(without: list[str]) -> None:
    torch.manual_seed(0)
    block = MutualFormerBlock(C, 2, without=without).double()
    rgb, depth = torch.randn(2, 3, 7, C, dtype=torch.float64)
    got = block(rgb.requires_grad_(), depth.requires_grad_())
    expected = by_hand(block, rgb, depth, {*without})
    torch.testing.assert_close(got, expected)
    read = (rgb, depth, *block.parameters())
    gradients = [torch.autograd.grad(x.square().sum(), read) for x in (got, expected)]
    torch.testing.assert_close(*gradients)
    assert all(bool(x.abs().sum() > 0) for x in gradients[0]), "a parameter that nothing reads"
    assert block.settings["init_args"]["without"] == [*without]


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (["ffn"], "expected a list of different parts, of self_attention, rgb_from_depth"),
        ("f", "without is 'f', expected a list"),
        (["f", "f"], "different parts"),
        (["self_attention", "rgb_from_depth"], "keep one of self_attention and rgb_from_depth"),
        (["self_attention", "depth_from_rgb"], "keep one of self_attention and depth_from_rgb"),
    ],
)
def test_what_cannot_be_taken_out_is_refused(without: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        MutualFormerBlock(C, 2, without=without)


def test_the_release_has_other_parts() -> None:
    with pytest.raises(UserError, match="only variant='paper' has these parts"):
        MutualFormerBlock(C, 2, variant="release", without=["f"])
