"""A network that is called with other values than it expects says so."""

from functools import partial

import pytest
import torch

from mutualformer import MutualFormerNetwork, fusions
from mutualformer.errors import UserError

RGB, DEPTH = torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)


def small(fusion: str = "Sum") -> MutualFormerNetwork:
    fusion_class = getattr(fusions, fusion)
    return MutualFormerNetwork("resnet18", fusion=partial(fusion_class), fusion_dim=8).eval()


@pytest.mark.parametrize(
    ("rgb", "depth", "words"),
    [
        (255 * RGB, DEPTH, "rgb has values from .* to 25., expected"),
        ((255 * RGB).byte(), DEPTH, "rgb is of torch.uint8, expected floats"),
        ((RGB - 0.45) / 0.22, DEPTH, "rgb has values from -2.* the network's to take out"),
        (RGB, 1000 * DEPTH, "depth has values from .* to (9..|1e\\+03), expected"),
        (RGB, (1000 * DEPTH).int(), "depth is of torch.int32, expected floats"),
        (RGB, DEPTH - 0.5, "depth has values from -0\\.[45]"),
    ],
)
def test_values_outside_the_range_are_refused(
    rgb: torch.Tensor, depth: torch.Tensor, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        small()(rgb, depth)


def test_a_modality_that_is_not_read_may_hold_anything() -> None:
    assert small("RGBOnly")(RGB, 1000 * DEPTH).isfinite().all()


def test_interpolation_may_overshoot_a_little() -> None:
    network = small()
    assert network(1.005 * RGB, DEPTH - 0.005).isfinite().all()
    assert network._range_is_checked
