"""Every fusion behind one interface, and what sets each apart."""

import math
from typing import get_args

import pytest
import torch

from mutualformer import Fusion, MutualFormerBlock
from mutualformer.fusions.fusion import FusionName

NAMES = get_args(FusionName)


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 6, 16, dtype=torch.float64), torch.randn(2, 6, 16, dtype=torch.float64)


def build(name: str, **options: object) -> torch.nn.Module:
    return Fusion(name, num_heads=4, **options).build(16).double()


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_gradients(name: str) -> None:
    fusion, (rgb, depth) = build(name), tokens()
    output = fusion(rgb.requires_grad_(), depth.requires_grad_())
    assert output.shape == rgb.shape
    output.square().sum().backward()
    for modality, stream in (("rgb", rgb), ("depth", depth)):
        reads = stream.grad is not None and bool(stream.grad.abs().sum() > 0)
        assert reads == (modality in Fusion(name).modalities)
    assert all(parameter.grad is not None for parameter in fusion.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_dropout_and_stochastic_depth_act_in_training_only(name: str) -> None:
    fusion, pair = build(name, dropout=0.3, drop_path=0.3), tokens()
    assert not torch.equal(fusion(*pair), fusion(*pair))
    fusion.eval()
    assert torch.equal(fusion(*pair), fusion(*pair))


@pytest.mark.parametrize("name", ["concat", "cross_attention", "sum", "mutualformer"])
def test_only_sum_keeps_the_modalities_apart(name: str) -> None:
    """A map without interaction is additive: f(a, b) + f(c, d) = f(a, d) + f(c, b)."""
    mixing, (a, b), (c, d) = build(name).mixing, tokens(), tokens()
    straight = mixing(a, b, None) + mixing(c, d, None)
    crossed = mixing(a, d, None) + mixing(c, b, None)
    assert torch.allclose(straight, crossed) == (name == "sum")


def test_concat_is_attention_over_all_tokens() -> None:
    mixing, (rgb, depth) = build("concat").mixing, tokens()
    q, k, v = (
        torch.cat(pair, 2)
        for pair in zip(
            mixing.qkv_rgb(mixing.norm_rgb(rgb)),
            mixing.qkv_depth(mixing.norm_depth(depth)),
            strict=True,
        )
    )
    attended = ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
    expected = mixing.join(attended[:, :6], attended[:, 6:], rgb, depth)
    torch.testing.assert_close(mixing(rgb, depth, None), expected)


def test_cross_attention_is_the_cross_affinity_without_iterations() -> None:
    cross, (rgb, depth) = build("cross_attention").mixing, tokens()
    ours = build("mutualformer", num_iterations=0, initial_affinity="cross").mixing
    ours.attention.qkv_rgb.load_state_dict(cross.qkv_rgb.state_dict())
    ours.attention.qkv_depth.load_state_dict(cross.qkv_depth.state_dict())
    attended = ours.attention(cross.norm_rgb(rgb), cross.norm_depth(depth))
    expected = cross.join(attended.rgb_from_depth, attended.depth_from_rgb, rgb, depth)
    torch.testing.assert_close(cross(rgb, depth, None), expected)


def test_the_name_mutualformer_is_the_block_with_its_options() -> None:
    torch.manual_seed(5)
    block = MutualFormerBlock(16, 4, epsilon=0.2, num_iterations=3, affinity="symmetric").double()
    torch.manual_seed(5)
    named = build("mutualformer", epsilon=0.2, num_iterations=3, affinity="symmetric")
    pair = tokens()
    torch.testing.assert_close(named(*pair), block(*pair), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mean"}, "fusion is 'mean', expected one of mutualformer, concat"),
        ({"dropout": 1.0}, "dropout is 1.0, expected 0 <= dropout < 1"),
        ({"drop_path": -0.1}, "drop_path is -0.1"),
        ({"num_heads": 3}, "dim is 16 and num_heads is 3"),
        ({"epsilon": 1.0}, "epsilon is 1.0"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        Fusion(**options).build(16)
    assert words in str(error.value)


def test_an_infinite_number_of_iterations_has_one_spelling() -> None:
    assert Fusion(num_iterations=math.inf) == Fusion(num_iterations="inf")  # type: ignore[arg-type]
