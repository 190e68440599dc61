import numpy as np
import pytest

from datamodules.check import check_root
from datamodules.check.polarity import (
    Polarity,
    combine,
    estimate_polarity,
    ground_slope,
    separation,
)

SQUARE = np.zeros((60, 80), bool)
SQUARE[20:40, 30:50] = True


def depth_of(inside, outside):
    return np.where(SQUARE, inside, outside).astype(np.float32)


@pytest.mark.parametrize(("inside", "expected"), [(0.9, 1.0), (0.1, 0.0), (0.5, 0.5)])
def test_separation_of_flat_areas(inside, expected):
    assert separation(depth_of(inside, 0.5), SQUARE) == expected


def test_far_background_does_not_count():
    depth = depth_of(0.6, 0.4)
    depth[:, 70:] = 1.0  # the ground before the object, say
    assert separation(depth, SQUARE) == 1.0


def test_holes_do_not_count_unless_most_is_one():
    depth = depth_of(0.6, 0.7)
    depth[20:40, 27:30] = 0.0  # a sensor's shadow beside the object
    assert separation(depth, SQUARE) == 0.0
    assert separation(depth_of(0.6, 0.0), SQUARE) == 1.0


@pytest.mark.parametrize("mask", [np.zeros_like(SQUARE), np.ones_like(SQUARE)])
def test_masks_that_cannot_tell(mask):
    assert separation(depth_of(0.9, 0.1), mask) is None


def test_large_maps_are_thinned_out():
    enlarge = np.ones((20, 20))
    depth = np.kron(depth_of(0.9, 0.1), enlarge).astype(np.float32)
    assert separation(depth, np.kron(SQUARE, enlarge).astype(bool)) == 1.0


@pytest.mark.parametrize(
    ("separations", "near"),
    [
        ([], None),
        ([0.0], None),
        ([0.0, 0.0], None),
        ([0.0, 0.0, 0.0], "dark"),
        ([1.0, 0.9, 0.8], "bright"),
        ([1.0, 1.0, 0.0], None),
        ([0.55, 0.52, 0.51], None),
        ([0.9] * 90 + [0.1] * 10, "bright"),
        ([0.9] * 60 + [0.1] * 40, None),  # mixed polarity
        ([0.1] * 2000, "dark"),
    ],
)
def test_decisions(separations, near):
    polarity = estimate_polarity(separations)
    assert polarity.near == near
    assert 0.5 <= polarity.confidence <= 1.0 and polarity.num_votes == len(separations)
    mirrored = estimate_polarity([1 - s for s in separations])
    assert mirrored.near == {"bright": "dark", "dark": "bright", None: None}[near]


def test_agreement_is_of_the_clear_votes():
    polarity = estimate_polarity([0.9, 0.9, 0.9, 0.1, 0.5])
    assert polarity.agreement == 0.75


# The ground

RAMP = np.linspace(0.1, 0.9, 60, dtype=np.float32)[:, None].repeat(80, 1)


@pytest.mark.parametrize(("depth", "expected"), [(RAMP, 1.0), (1 - RAMP, 0.0)])
def test_the_ground_is_nearer_the_lower(depth, expected):
    assert ground_slope(depth) == expected


def test_an_object_and_holes_on_the_ground_do_not_count():
    depth, mask = RAMP.copy(), np.zeros(RAMP.shape, bool)
    mask[20:50, 10:60] = True
    depth[mask] = 1 - RAMP[mask]
    depth[:, 62:70] = 0
    assert ground_slope(depth, mask) == 1.0


@pytest.mark.parametrize("depth", [np.full((60, 80), 0.5), RAMP.T, np.zeros((60, 80)), RAMP[:4]])
def test_maps_without_a_slope_do_not_vote(depth):
    assert ground_slope(depth.astype(np.float32)) is None


BRIGHT, DARK, UNSURE = (
    Polarity(near, confidence, 1.0, 5)
    for near, confidence in (("bright", 0.99), ("dark", 0.98), (None, 0.6))
)


@pytest.mark.parametrize(
    ("objects", "ground", "near", "rests_on"),
    [
        (BRIGHT, BRIGHT, "bright", "objects and ground"),
        (BRIGHT, UNSURE, "bright", "objects"),
        (UNSURE, DARK, "dark", "ground"),
        (UNSURE, UNSURE, None, "objects"),
        (DARK, BRIGHT, None, "objects against ground"),
        (BRIGHT, DARK, None, "objects against ground"),
    ],
)
def test_two_cues_together(objects, ground, near, rests_on):
    polarity = combine(objects, ground)
    assert (polarity.near, polarity.rests_on) == (near, rests_on)


@pytest.mark.parametrize(
    ("name", "near"),
    [("rgbd_sod/DES", "dark"), ("rgbd_sod/SSD", "dark"), ("rgbd_seg/potholes", None)],
)
def test_real_sets(shared, name, near):
    (seen,) = check_root(shared / "data" / name).datasets
    assert seen.polarity.near == near
    found = [f for f in seen.findings if f.kind == "polarity"]
    if near is None:  # the objects are holes: no advice to turn right files over
        (finding,) = found
        assert seen.polarity.rests_on == "objects against ground" and not finding.is_error
        assert "near is bright" in finding.message and "near_dark" not in finding.message
        assert "invert" not in finding.message
    else:
        assert seen.polarity.rests_on == "objects and ground" and not found
