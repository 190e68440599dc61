"""Fusions of one size: near enough, or refused by name with what would fit."""

import re
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mutualformer import MutualFormerBlock, MutualFormerNetwork
from mutualformer.fusions import CMX, FUSIONS, Bottleneck, Fusion, GatedSum, RGBOnly, ViewMixed
from mutualformer.fusions.matched import WithFeedForward, count_parameters, match_parameters
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network import TokenNetwork


class Rounded(Fusion):
    """Have an FFN whose width is a multiple of 8."""

    def __init__(self, dim: int, mlp_ratio: float = 4.0, bias: bool = True) -> None:
        super().__init__()
        width = 8 * max(1, round(dim * mlp_ratio / 8))
        self.layers = nn.Sequential(nn.Linear(dim, width, bias), nn.Linear(width, dim, bias))

    def fuse(self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: Any) -> Tensor:
        return self.layers(tokens_rgb + tokens_depth)

    def auxiliary_loss(self) -> float:
        return 3.0


class Whole(Rounded):
    """Take whole ratios only."""

    def __init__(self, dim: int, mlp_ratio: int = 2) -> None:
        Fusion.__init__(self)
        self.layers = nn.Sequential(
            nn.Linear(dim, dim * mlp_ratio), nn.Linear(dim * mlp_ratio, dim)
        )


class Capped(Rounded):
    """Never become wider than 64."""

    def __init__(self, dim: int, mlp_ratio: float = 1.0) -> None:
        super().__init__(dim, min(mlp_ratio, 64 / dim))


class HandsOn(MutualFormerBlock):
    """Take the options of the block without naming them."""

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__(dim, **options)


class Plain(Rounded):
    """Have no FFN."""

    def __init__(self, dim: int) -> None:
        Fusion.__init__(self)
        self.layers = nn.Linear(dim, dim)


def matched(fusion: Any, dim: int, parameters: Any) -> Any:
    return match_parameters(fusion(dim), dim, parameters)(dim)


@pytest.mark.parametrize("dim", [32, 64])
@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_gets_the_size_of_cmx_or_says_what_it_needs(name: str, dim: int) -> None:
    target = count_parameters(CMX(dim))
    if name == "view_mixed":
        own = count_parameters(ViewMixed(dim))
        least = next(x for x in range(own // 2, own) if 20 * (own - x) <= x)
        words = f"ViewMixed of width {dim} has {own} with no FFN, expected at least {least}: "
        with pytest.raises(ValueError, match=re.escape(words)):
            matched(read_fusion(name), dim, target)
        with pytest.raises(ValueError):
            matched(read_fusion(name), dim, least - 1)
        assert count_parameters(matched(read_fusion(name), dim, least)) == own
        return
    torch.manual_seed(3)
    fusion = matched(read_fusion(name), dim, target)
    assert abs(count_parameters(fusion) - target) <= 0.005 * target
    rgb, depth = torch.randn(2, 2, dim, 5, 7)
    assert fusion(rgb, depth).shape == rgb.shape
    given = read_fusion(name)(dim).settings["init_args"]
    assert isinstance(fusion, WithFeedForward) == ("mlp_ratio" not in given and name != "cmx")
    kept = fusion.settings["init_args"]
    assert {**kept, "mlp_ratio": 0} == {**given, "mlp_ratio": 0}


@pytest.mark.parametrize("own", [Rounded, Whole, HandsOn, Plain, partial(Rounded, bias=False)])
@pytest.mark.parametrize("dim", [24, 48])
def test_a_fusion_of_one_s_own_gets_a_size_too(own: Any, dim: int) -> None:
    for target in (30 * dim * dim, 300 * dim * dim):
        fusion = matched(own, dim, target)
        assert abs(count_parameters(fusion) - target) <= 0.05 * target
        assert isinstance(fusion, WithFeedForward) == (own in (Whole, Plain))


@pytest.mark.parametrize(
    ("fusion", "parameters", "words"),
    [
        (partial(RGBOnly, num_heads=4), 4000, "RGBOnly of width 32 has 4449 with the narrowest"),
        (GatedSum, 500, "GatedSum of width 32 has 2080 with no FFN, expected at least 1981"),
        (Rounded, 700, "Rounded of width 32 has 552 or 1072 at the nearest widths"),
        (Capped, 9000, "Capped of width 32 has 4192 at the nearest widths"),
        *[(GatedSum, x, ", expected an integer") for x in (0, -5, 2.5, True, "9", 10**12)],
    ],
)
def test_a_size_that_cannot_be_had_is_refused(fusion: Any, parameters: Any, words: str) -> None:
    with pytest.raises(ValueError, match="fusion_parameters is .*" + re.escape(words)):
        matched(fusion, 32, parameters)


@pytest.mark.parametrize("fusion", [GatedSum, Bottleneck])
def test_the_size_is_found_without_a_random_number(fusion: Any) -> None:
    probe, state = fusion(32), torch.get_rng_state()
    match_parameters(probe, 32, 60_000)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_ffn_behind_leaves_the_rest_of_a_fusion_alone() -> None:
    fusion = matched(Plain, 16, 5000)
    inner, (rgb, depth) = fusion.fusion, torch.randn(2, 3, 16, 4, 5)
    fused = inner(rgb, depth).movedim(1, -1)
    expected = fused + fusion.feed_forward(fusion.norm(fused))
    torch.testing.assert_close(fusion(rgb, depth), expected.movedim(-1, 1))
    tokens = [x.flatten(2).mT for x in (rgb, depth)]
    torch.testing.assert_close(fusion(*tokens, (4, 5)), expected.flatten(1, 2))
    assert fusion.settings == inner.settings
    added = [x.auxiliary_loss() for x in fusion.modules() if isinstance(x, Fusion)]
    assert sum(added) == 3.0
    compiled = torch.compile(fusion, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(rgb, depth), fusion(rgb, depth))


class PlainDepth(Plain):
    modalities = ("depth",)

    def fuse(self, tokens_rgb: Any, tokens_depth: Tensor, spatial_size: Any) -> Tensor:
        return self.layers(tokens_depth)


@pytest.mark.parametrize("fusion", [GatedSum, partial(Bottleneck, num_heads=2), PlainDepth])
def test_a_network_of_one_size_is_saved_and_built_again(fusion: Any, tmp_path: Any) -> None:
    options: Any = {"fusion_dim": 32, "decoder_dim": 32, "fusion_parameters": 40_000}
    network = MutualFormerNetwork("tu-test_efficientnet", fusion=fusion, **options).eval()
    assert all(abs(count_parameters(x) - 40_000) < 500 for x in network.blocks.values())
    assert network.settings["fusion_parameters"] == 40_000
    network.save_pretrained(tmp_path / "saved")
    again = MutualFormerNetwork.from_pretrained(tmp_path / "saved")
    assert again.settings == network.settings
    images = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(again(*images), network(*images), rtol=0, atol=0)
    named = {name.split(".")[2] for name in network.state_dict() if name.startswith("blocks.")}
    if fusion is GatedSum:
        assert named == {"fusion", "norm", "feed_forward"}


def test_streams_go_on_from_a_fusion_with_an_ffn_behind() -> None:
    torch.manual_seed(0)
    options: Any = {"fusion_dim": 32, "decoder_dim": 32, "feed_back": True}
    fusion = partial(CMX, num_heads=4)
    network = MutualFormerNetwork("resnet18", fusion=fusion, fusion_parameters=60_000, **options)
    blocks = list(network.blocks.values())
    assert all(isinstance(block, WithFeedForward) for block in blocks)
    streams = torch.randn(2, 1, 6, 32)
    _, *rewritten = blocks[0].eval()(*streams, (2, 3), return_streams=True)
    _, *expected = blocks[0].fusion(*streams, (2, 3), return_streams=True)
    torch.testing.assert_close(rewritten, expected, rtol=0, atol=0)
    assert network.eval()(torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)).shape[-1] == 64
    with pytest.raises(ValueError, match="GatedSum rewrites no streams"):
        MutualFormerNetwork("resnet18", fusion=GatedSum, fusion_parameters=60_000, **options)


def test_a_block_without_its_ffn_is_followed_by_one() -> None:
    fusion = matched(partial(MutualFormerBlock, num_heads=4, without=["feed_forward"]), 32, 60_000)
    assert isinstance(fusion, WithFeedForward)
    assert abs(count_parameters(fusion) - 60_000) < 300


def test_a_network_on_tokens_has_the_option_too() -> None:
    network = TokenNetwork(fusion=CMX, dim=32, fusion_parameters=60_000)
    assert abs(count_parameters(network.fusion) - 60_000) < 3000
    assert network.settings["fusion_parameters"] == 60_000
    assert network(torch.randn(1, 16, 4, 4), torch.randn(1, 18, 4, 4)).shape == (1, 2, 4, 4)
