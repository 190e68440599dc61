"""Encoders run stage by stage, and streams that a fusion hands on to the next stage."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network import MutualFormerNetwork
from mutualformer.network.encoder_stages import check_stages, run_stage
from mutualformer.network.encoders import build_encoder

REWRITING = [x for x in FUSIONS if read_fusion(x)(16).rewrites_streams]
ENCODERS = [
    "mit_b0",
    "mobilenet_v2",
    "resnet18",
    "timm-tf_efficientnet_lite0",
    "tu-convnext_atto",
    "tu-dla34",
    "tu-mobilenetv3_small_100",
    "tu-tf_efficientnet_lite0",
]


def images(batch: int = 2, size: tuple[int, int] = (64, 48)) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.rand(batch, 3, *size), torch.rand(batch, 1, *size)


def build(name: Any = "mutualformer", **options: Any) -> MutualFormerNetwork:
    torch.manual_seed(0)
    options = {"encoder_name": "resnet18", "fusion_dim": 16, "decoder_dim": 32, **options}
    return MutualFormerNetwork(
        fusion=read_fusion(name) if isinstance(name, str) else name, **options
    )


def wake(network: MutualFormerNetwork) -> None:
    """Give the convolutions that begin at zero something to say."""
    torch.manual_seed(1)
    for parameter in network.feedback.parameters():
        nn.init.normal_(parameter, std=0.1)


@pytest.mark.parametrize("name", ENCODERS)
def test_stages_add_up_to_the_encoder(name: str) -> None:
    encoder = build_encoder(name).eval()
    check_stages(encoder, name, (64, 64))
    features = torch.rand(1, 3, 96, 64)
    for level, expected in enumerate(encoder(features)[1:], start=1):
        got = run_stage(encoder, level, features)
        torch.testing.assert_close(got, expected, rtol=0, atol=0)
        features = got if got.shape[1] else features


@pytest.mark.parametrize("name", ["densenet121", "efficientnet-b0", "tu-hrnet_w18_small", "vgg11"])
def test_an_encoder_without_stages_is_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' cannot be run stage by stage"):
        build(encoder_name=name, fusion_strides=[16], feed_back=True)


def test_an_encoder_that_does_more_than_its_stages_is_refused() -> None:
    encoder = build_encoder("resnet18")
    encoder.register_forward_hook(lambda module, given, features: [2 * x for x in features])
    with pytest.raises(UserError, match="'mine' cannot be run stage by stage"):
        check_stages(encoder, "mine", (64, 64))
    assert encoder.training


@pytest.mark.parametrize("name", REWRITING)
@pytest.mark.parametrize("share_encoder", [False, True])
def test_begins_as_the_network_without_feedback(name: str, share_encoder: bool) -> None:
    """And what is fed back changes what is predicted, once it is not zero."""
    plain = build(name, share_encoder=share_encoder).eval()
    feeding = build(name, share_encoder=share_encoder, feed_back=True).eval()
    state = feeding.state_dict()
    assert set(state) - set(plain.state_dict()) == {x for x in state if x.startswith("feedback.")}
    feeding.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        expected = plain(*images())
        torch.testing.assert_close(feeding(*images()), expected, rtol=0, atol=0)
        wake(feeding)
        assert not torch.allclose(feeding(*images()), expected)


class Swap(Fusion):
    """Hand each modality the other's tokens."""

    rewrites_streams = True

    def __init__(self, dim: int) -> None:
        super().__init__()

    def fuse_and_rewrite(
        self, tokens_rgb: Any, tokens_depth: Any, spatial_size: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return tokens_rgb + tokens_depth, tokens_depth, tokens_rgb


@torch.no_grad()
def test_the_next_stage_gets_what_the_formula_says() -> None:
    """By hand: R ← R + U_r(X'_r − X_r) behind each fused stage but the last."""
    network = build(Swap, fusion_strides=[8, 32], feed_back=True, encoder_name="mit_b0").eval()
    wake(network)
    assert list(network.feedback) == ["3"]
    seen: dict[int, list[Tensor]] = {}
    network.decoder.register_forward_pre_hook(lambda _, given: seen.update(enumerate(given[0])))
    rgb, depth = images(size=(64, 64))
    network(rgb, depth)

    e: Any = network.encoders
    streams = {
        "rgb": (rgb - network.rgb_mean) / network.rgb_std,
        "depth": (depth - network.depth_mean) / network.depth_std,
    }
    for name in streams:
        for level in (2, 3):
            streams[name] = run_stage(e[name], level, streams[name])
    embed: Any = network.embeddings["3"]
    tokens = {name: embed[name](x) for name, x in streams.items()}
    feed: Any = network.feedback["3"]
    fed = {
        "rgb": streams["rgb"] + feed["rgb"](tokens["depth"] - tokens["rgb"]),
        "depth": streams["depth"] + feed["depth"](tokens["rgb"] - tokens["depth"]),
    }
    at_16 = {name: run_stage(e[name], 4, x) for name, x in fed.items()}
    torch.testing.assert_close(seen[3], tokens["rgb"] + tokens["depth"])
    torch.testing.assert_close(seen[4], at_16["rgb"] + at_16["depth"])


@pytest.mark.parametrize("name", REWRITING)
def test_all_parameters_learn(name: str) -> None:
    network = build(name, feed_back=True)
    wake(network)
    network(*images()).square().mean().backward()
    assert [x for x, p in network.named_parameters() if p.grad is None] == []
    assert all(
        bool(p.grad.abs().sum() > 0) for p in network.feedback.parameters() if p.grad is not None
    )


def test_training_begins_in_the_convolutions_that_are_zero() -> None:
    network = build(feed_back=True)
    network(*images()).square().mean().backward()
    weights = [p for p in network.feedback.parameters() if p.ndim == 4]
    assert weights and all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in weights)


@pytest.mark.parametrize("name", ["sum", "rgb", "view_mixed"])
def test_a_fusion_that_rewrites_nothing_is_refused_by_name(name: str) -> None:
    own = type(read_fusion(name)(16)).__name__
    with pytest.raises(UserError, match=f"{own} rewrites no streams.*cmx, sa_gate, gemini"):
        build(name, feed_back=True)


def test_the_release_is_refused_too() -> None:
    with pytest.raises(UserError, match="MutualFormerBlock rewrites no streams.*variant paper"):
        build(read_fusion({"name": "mutualformer", "variant": "release"}), feed_back=True)


def test_survives_synchronised_normalisation_copies_and_its_settings() -> None:
    network = build("cmx", feed_back=True)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    found = {id(x) for x in synchronised.modules() if isinstance(x, nn.SyncBatchNorm)}
    ran: set[int] = set()
    for module in synchronised.modules():
        module.register_forward_hook(lambda module, *_: ran.add(id(module)))
    synchronised.eval()(*images())
    assert found and found <= ran
    again = MutualFormerNetwork.from_settings(network.settings).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(*images()), network.eval()(*images()), rtol=0, atol=0)


def test_compiles_as_a_whole() -> None:
    network = build("sa_gate", feed_back=True).eval()
    wake(network)
    compiled: Any = torch.compile(network, backend="eager", fullgraph=False)
    torch.testing.assert_close(compiled(*images()), network(*images()))


@pytest.mark.parametrize(
    ("name", "feed_back", "words"),
    [
        ("cmx", False, "without feedback"),
        ("cmx", True, ""),
        ("mutualformer", False, ""),
        ("mutualformer", True, "with feedback"),
        ("view_mixed", False, ""),
    ],
)
def test_a_network_says_how_it_differs_from_the_paper(
    name: str, feed_back: bool, words: str
) -> None:
    remarks = build(name, feed_back=feed_back).remarks
    assert all(words in x for x in remarks) and len(remarks) == bool(words)
