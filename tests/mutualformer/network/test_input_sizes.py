"""Encoders of timm whose windows or positions are made for one size of images."""

import pytest
import torch

from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError
from mutualformer.network.encoders import encoder_input_sizes
from mutualformer.network.input_sizes import InputSizes

MULTIPLE_OF_32 = InputSizes()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", MULTIPLE_OF_32),
        ("tu-convnext_tiny", MULTIPLE_OF_32),
        ("tu-swin_tiny_patch4_window7_224", MULTIPLE_OF_32),
        ("tu-swin_base_patch4_window12_384", MULTIPLE_OF_32),
        ("tu-swinv2_cr_tiny_ns_224", MULTIPLE_OF_32),
        ("tu-swinv2_tiny_window8_256", MULTIPLE_OF_32),
        ("tu-mvitv2_tiny", MULTIPLE_OF_32),
        ("tu-maxvit_tiny_tf_224", InputSizes(224)),
        ("tu-maxvit_tiny_tf_384", InputSizes(384)),
        ("tu-maxxvitv2_nano_rw_256", InputSizes(256)),
        ("tu-coatnet_0_224", InputSizes(224, 224)),
        ("tu-gcvit_xxtiny", InputSizes(224, 224)),
        ("tu-hiera_tiny_224", InputSizes(224, 224)),
    ],
)
def test_sizes_that_an_encoder_takes(name: str, expected: InputSizes) -> None:
    assert encoder_input_sizes(name) == expected


@pytest.mark.parametrize(
    "name",
    ["tu-swin_tiny_patch4_window7_224", "tu-swinv2_tiny_window8_256", "tu-maxvit_tiny_tf_224"],
)
@pytest.mark.parametrize("size", [(352, 352), (384, 384), (97, 640)])
def test_logits_have_the_size_of_the_images(name: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):  # shapes alone
        network = MutualFormerNetwork(name, fusion_dim=32).eval()
        logits = network(torch.rand(2, 3, *size), torch.rand(2, 1, *size))
    assert logits.shape == (2, 1, *size)


def test_one_size_is_padded_to_and_never_exceeded() -> None:
    network = MutualFormerNetwork("tu-test_coatnet", fusion_dim=32).eval()
    images = torch.rand(1, 3, 100, 64), torch.rand(1, 1, 100, 64)
    assert network(*images).isfinite().all()
    with pytest.raises(
        UserError, match=r"192 × 64 pixels \(height × width\), expected at most 160 × 160"
    ):
        network(torch.rand(1, 3, 192, 64), torch.rand(1, 1, 192, 64))


@pytest.mark.parametrize("name", ["tu-vit_tiny_patch16_224", "tu-nest_tiny", "tu-mixer_s16_224"])
def test_an_encoder_without_a_pyramid_is_refused_by_name(name: str) -> None:
    with pytest.raises(UserError, match=f"encoder '{name}' cannot be used: .*Expected one with"):
        MutualFormerNetwork(name)
