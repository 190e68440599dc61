"""Knobs outside their range, and contradictory ones, are refused by name."""

import math

import pytest

from datamodules.rendering.settings import RenderSettings
from mutualformer.errors import UserError


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"image_size": 16}, "image_size is 16, expected at least 32"),
        ({"image_size": (64, 64, 3)}, "image_size is"),
        ({"seed": -1}, "seed is -1"),
        ({"num_distractors": 0}, "num_distractors is 0, expected an integer >= 1"),
        ({"num_distractors": 6}, "expected at most 5"),
        ({"likeness": 1.0}, r"likeness is 1.0, expected a number in \[0, 1\)"),
        ({"likeness": -0.1}, "likeness"),
        ({"gap": 1.1}, r"gap is 1.1, expected a number in \[0, 1\]"),
        ({"gap": math.nan}, "gap is nan"),
        ({"holes_rgb": 1.0}, "holes_rgb is 1.0"),
        ({"holes_depth": -0.2}, "holes_depth is -0.2"),
        ({"holes_rgb": 0.5, "holes_depth": 0.5}, "at most .9 together"),
        ({"noise": math.inf}, "noise is inf"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"misalignment": 16, "image_size": (64, 128)}, "less than 16"),
    ],
)
def test_refused(knobs, message):
    with pytest.raises(UserError, match=message):
        RenderSettings(**knobs)


def test_ends_of_the_ranges_are_taken():
    RenderSettings(gap=1.0, likeness=0.0, holes_rgb=0.9, holes_depth=0.0, noise=0.0)
    assert RenderSettings(image_size=64, misalignment=15).size == (64, 64)
