"""The network: any size, any fusion, any decoder, any stages."""

from functools import partial

import pytest
import torch
from torch import Tensor

from mutualformer import MutualFormerBlock, MutualFormerNetwork
from mutualformer.fusions import FUSIONS, DepthOnly
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network.mutualformer_network import DECODERS


def build(**options: object) -> MutualFormerNetwork:
    defaults = {"encoder_name": "resnet18", "fusion_dim": 16, "decoder_dim": 32}
    return MutualFormerNetwork(**{**defaults, **options}).eval()


def pair(height: int = 64, width: int = 64, batch: int = 1) -> tuple[Tensor, Tensor]:
    return torch.rand(batch, 3, height, width), torch.rand(batch, 1, height, width)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 64), (70, 50), (96, 161)])
def test_logits_have_the_size_of_the_input(size: tuple[int, int]) -> None:
    assert build()(*pair(*size, batch=2)).shape == (2, 1, *size)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])
def test_decoders_by_name(name: str, encoder: str) -> None:
    assert build(decoder_name=name, encoder_name=encoder)(*pair(50, 70)).shape == (1, 1, 50, 70)


@pytest.mark.parametrize("encoder", ["tu-resnet10t", "tu-convnext_atto", "mobilenet_v2"])
def test_encoders_by_name(encoder: str) -> None:
    assert build(encoder_name=encoder)(*pair(64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_reads_its_modalities_and_trains(name: str) -> None:
    network = build(fusion=read_fusion(name)).train()
    rgb, depth = pair(batch=2)
    network(rgb.requires_grad_(), depth.requires_grad_()).sum().backward()
    for modality, image in (("rgb", rgb), ("depth", depth)):
        assert (image.grad is not None) == (modality in network.modalities)
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("strides", [(4,), (8, 16, 32), (4, 8, 16, 32), (32, 8)])
def test_fusion_at_chosen_stages(strides: tuple[int, ...]) -> None:
    network = build(fusion_strides=strides)
    assert sorted(2 ** int(level) for level in network.blocks) == sorted(strides)
    assert network(*pair()).shape == (1, 1, 64, 64)


def test_tokens_of_a_stage_are_those_of_its_stride() -> None:
    network = build(fusion_strides=(8, 32))
    seen = {}
    for level, block in network.blocks.items():
        block.register_forward_hook(
            lambda _block, inputs, _output, level=level: seen.update({level: inputs[0].shape})
        )
    network(*pair(64, 96))
    assert seen == {"3": (1, 8 * 12, 16), "5": (1, 2 * 3, 16)}


def test_shared_encoder_has_one_set_of_weights() -> None:
    shared, separate = build(share_encoder=True), build()
    assert list(shared.encoders) == ["shared"]
    assert list(separate.encoders) == ["rgb", "depth"]
    rgb, depth = pair()
    assert not torch.equal(shared(rgb, depth), shared(rgb, 1 - depth))


@pytest.mark.parametrize("share_encoder", [False, True])
def test_a_second_modality_of_three_channels(share_encoder: bool) -> None:
    network = build(depth_channels=3, share_encoder=share_encoder)
    rgb, depth = torch.rand(1, 3, 50, 70), torch.rand(1, 3, 50, 70)
    logits = network(rgb, depth)
    assert logits.shape == (1, 1, 50, 70)
    assert not torch.equal(network(rgb, depth.flip(1)), logits), "the channels differ"
    with pytest.raises(ValueError, match=r"and \(B, 3, H, W\): depth_channels .* must be the same"):
        network(*pair(50, 70))


def test_each_channel_is_normalised_as_the_encoder_expects() -> None:
    network = build(fusion=DepthOnly, depth_channels=3)
    seen = []
    network.encoders["depth"].register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    rgb = torch.rand(1, 3, 64, 64)
    network(rgb, rgb)
    torch.testing.assert_close(seen[0], (rgb - network.rgb_mean) / network.rgb_std)


def test_a_modality_that_is_not_read_has_no_encoder() -> None:
    assert list(build(fusion=DepthOnly).encoders) == ["depth"]


def test_a_fusion_with_options_reaches_every_stage() -> None:
    network = build(fusion=partial(MutualFormerBlock, num_heads=2, epsilon=0.3, num_iterations=4))
    layers = [block.mixing.attention.options for block in network.blocks.values()]
    assert [(layer.epsilon, layer.num_iterations) for layer in layers] == [(0.3, 4)] * 3


def test_encoder_parameters_are_the_encoders_alone() -> None:
    network = build()
    inside = {id(parameter) for parameter in network.encoder_parameters()}
    for name, parameter in network.named_parameters():
        assert (id(parameter) in inside) == name.startswith("encoders.")


def test_the_default_size_stands_beside_the_paper_s() -> None:
    """The README states it next to the 52.05 M of the paper."""
    num_parameters = sum(p.numel() for p in MutualFormerNetwork().parameters())
    assert num_parameters == 51_462_913


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decoder_name": "linear"}, "decoder_name is 'linear', expected one of fpn"),
        ({"fusion_strides": (2,)}, "fusion_strides holds 2, expected some of 4, 8, 16, 32"),
        ({"fusion_strides": ()}, "expected distinct strides"),
        ({"fusion_strides": (8, 8)}, "expected distinct strides"),
        ({"depth_channels": 2}, "depth_channels is 2, expected 1 or 3"),
        ({"decoder_dim": 48}, "decoder_dim is 48, expected a multiple of 32"),
        ({"fusion_dim": 20}, "dim is 20 and num_heads is 8"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        build(**options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "shapes",
    [((1, 3, 64, 64), (1, 3, 64, 64)), ((1, 3, 64, 64), (1, 1, 64, 32)), ((1, 1, 8, 8),) * 2],
)
def test_images_that_do_not_fit_are_refused(shapes: tuple) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 3, H, W\) and \(B, 1, H, W\)"):
        build()(*map(torch.rand, shapes))
