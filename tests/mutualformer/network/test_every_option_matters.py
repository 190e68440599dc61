"""No option of the network is without effect, and its logits are pinned."""

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mutualformer import MutualFormerBlock, MutualFormerNetwork
from mutualformer.fusions import DepthOnly
from mutualformer.network.encoders import build_encoder

SMALL = {
    **{"encoder_name": "resnet18", "fusion_dim": 16, "decoder_dim": 32},
    "fusion": partial(MutualFormerBlock, num_heads=2),
}
CHANGED: dict[str, Any] = {
    "encoder_name": "resnet34",
    "encoder_weights": "weights.pt",
    "share_encoder": True,
    "fusion": partial(MutualFormerBlock, num_heads=2, epsilon=0.3),
    "fusion_strides": [16, 32],
    "fusion_dim": 32,
    "decoder_name": "segformer",
    "decoder_dim": 64,
    "depth_channels": 3,
    "feed_back": True,
    "fusion_parameters": 20_000,
    "num_classes": 5,
}


def build(**options: Any) -> MutualFormerNetwork:
    torch.manual_seed(0)
    return MutualFormerNetwork(**{**SMALL, **options}).eval()


@pytest.mark.parametrize("option", inspect.signature(MutualFormerNetwork).parameters)
def test_every_option_changes_what_is_built_or_computed(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(build_encoder("resnet18").state_dict(), "weights.pt")
    one, other = build(), build(**{option: CHANGED[option]})
    shapes = [{key: x.shape for key, x in n.state_dict().items()} for n in (one, other)]
    if shapes[0] == shapes[1]:
        rgb, depth = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64)
        assert not torch.allclose(one(rgb, depth), other(rgb, depth), rtol=0.01)
    if option != "encoder_weights":
        assert one.settings[option] != other.settings[option]


def test_a_fusion_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="fusion made a Linear, expected a subclass of"):
        build(fusion=partial(torch.nn.Linear, out_features=3))


def test_what_a_fusion_reads_is_found_out_without_a_random_number() -> None:
    alone, again = build(fusion=DepthOnly), build(fusion=DepthOnly)
    assert alone.modalities == ("depth",)
    torch.manual_seed(0)
    first = build_encoder("resnet18", in_channels=1).state_dict()
    for network in (alone, again):
        built = network.encoders["depth"].state_dict()
        assert all(torch.equal(built[name], value) for name, value in first.items())


# Logits of the upper left and the lower right corner, as version 0.1.0 computed them: padding by
# replication and the sum of what is not fused are in them.
PINNED = [
    ({}, [-0.2326364165, -0.1617416138, 0.5239743543, 0.5336774699]),
    ({"fusion_strides": [16, 32]}, [0.0849833506, 0.02422871849, -0.2591475021, -0.2054297136]),
    ({"share_encoder": True}, [-0.2429104216, -0.2424258566, -0.3299093306, -0.4114432934]),
]


@pytest.mark.parametrize(("options", "expected"), PINNED)
def test_logits_stay_what_they_were(options: dict[str, Any], expected: list[float]) -> None:
    network = build(**options).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values * 0.5 / max(1, parameter[0].numel()) ** 0.5)
        rgb, depth = (
            torch.rand(1, channels, 40, 50, generator=generator, dtype=torch.float64)
            for channels in (3, 1)
        )
        logits = network(rgb, depth)[0, 0]
    got = torch.stack([logits[0, 0], logits[0, 2], logits[-1, -3], logits[-1, -1]])
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=0)
