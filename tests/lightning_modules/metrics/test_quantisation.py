"""The protocol's resize and 8-bit step."""

import pytest
import torch
from torch.nn.functional import interpolate

from lightning_modules.metrics import quantise


def test_every_8_bit_level_survives():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(quantise(levels / 255, (16, 16)), levels)


@pytest.mark.parametrize("size", [(1, 1), (7, 50), (31, 17), (64, 64)])
def test_resizes_bilinearly_then_rounds(size):
    probabilities = torch.rand(1, 32, 24)
    expected = interpolate(probabilities[None], size, mode="bilinear", antialias=False)[0] * 255
    actual = quantise(probabilities, size)
    assert actual.dtype == torch.uint8 and actual.shape == (1, *size)
    assert (actual - expected).abs().max() <= 0.5 + 1e-4


def test_half_precision_is_resized_in_float32():
    probabilities = torch.rand(1, 8, 8).bfloat16()
    assert torch.equal(quantise(probabilities, (19, 23)), quantise(probabilities.float(), (19, 23)))


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_values_that_are_no_probabilities_are_an_error(value):
    probabilities = torch.full((1, 4, 4), 0.5)
    probabilities[0, 1, 1] = value
    with pytest.raises(ValueError, match=r"probabilities has values .*, expected \[0, 1\]"):
        quantise(probabilities, (4, 4))


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (1, 1, 4, 4)])
def test_wrong_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"\(1, H, W\)"):
        quantise(torch.zeros(shape), (4, 4))


def test_stored_levels_stand_for_v_over_255() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    for size in [(16, 16), (19, 23)]:
        assert torch.equal(quantise(levels, size), quantise(levels / 255, size))
