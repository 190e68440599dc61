"""Changes to depth: in range, local, lower where they make holes, and off where told so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.augmentation import depth_augmentation
from datamodules.augmentation.depth_augmentation import (
    MIN_SCALE,
    NUM_LEVELS,
    SHADOW_STEP,
    add_noise,
    augment_brightness,
    augment_depth,
    bleed_edges,
    cast_shadows,
    punch_holes,
    quantise_levels,
    scale_and_shift,
)

EFFECTS = [add_noise, augment_depth, bleed_edges, cast_shadows, punch_holes, quantise_levels]
EFFECTS += [scale_and_shift]


def step(height=64, width=80):
    """Near on the left of column 40, far on the right."""
    depth = torch.full((1, height, width), 0.2)
    depth[..., :40] = 0.9
    return depth


def changed(function, depth, num_seeds=20):
    for seed in range(num_seeds):
        torch.manual_seed(seed)
        yield function(depth.clone())


@pytest.mark.parametrize("function", EFFECTS)
@given(seed=st.integers(0, 2**32), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=25, deadline=None)
def test_values_stay_in_range_at_any_size(function, seed, size):
    torch.manual_seed(seed)
    depth = torch.rand(1, *size).round(decimals=1)
    before = depth.clone()
    after = function(depth)
    assert after.shape == depth.shape and after.dtype == torch.float32
    assert after.min() >= 0 and after.max() <= 1
    assert torch.equal(depth, before), "the input is left alone"


def test_scale_and_shift_keep_proportions_and_clip_nothing():
    depth = torch.linspace(0, 1, 101)[None, None]
    ends = []
    for after in changed(scale_and_shift, depth, 50):
        low, high = after.min(), after.max()
        assert high - low >= MIN_SCALE - 1e-6
        torch.testing.assert_close(after, low + (high - low) * depth)
        ends.append((low.item(), high.item()))
    assert min(low for low, _ in ends) < 0.02 and max(high for _, high in ends) > 0.98
    assert max(low for low, _ in ends) > 0.1 and min(high for _, high in ends) < 0.9


@pytest.mark.parametrize("function", [cast_shadows, punch_holes])
def test_holes_are_zero_and_nothing_else_changes(function):
    depth = step()
    shares = []
    for after in changed(function, depth):
        hole = after != depth
        assert not after[hole].any()
        shares.append(hole.float().mean().item())
    assert 0 < max(shares) < 0.15


def test_shadows_fall_beside_near_things_on_the_far_side():
    depth = step(64, 200)
    for after in changed(cast_shadows, depth):
        columns = (after == 0)[0].any(dim=0).nonzero().flatten().tolist()
        # Only a viewpoint on the other side sees all of the step.
        assert columns == [] or columns == list(range(40, 40 + len(columns)))
        assert len(columns) <= 4


def test_a_sensor_has_its_second_viewpoint_on_one_side():
    bar = torch.full((1, 64, 200), 0.2)
    bar[..., 80:120] = 0.9
    seen = set()
    for after in changed(cast_shadows, bar):
        left, right = (
            (after[..., part] == 0).any().item() for part in (slice(80), slice(120, 200))
        )
        assert left != right
        seen.add(left)
    assert seen == {True, False}


def test_a_gentle_slope_casts_no_shadow():
    gentle = torch.linspace(0, 0.9 * SHADOW_STEP, 80).expand(1, 64, 80)
    assert all(torch.equal(after, gentle) for after in changed(cast_shadows, gentle))


def test_edges_bleed_to_both_sides_and_by_a_few_pixels():
    depth = step(160, 160)
    grown = shrunk = 0
    for after in changed(bleed_edges, depth):
        moved = (after != depth)[0].nonzero()
        assert ((moved[:, 1] - 39.5).abs() <= 2).all()
        assert set(after.unique().tolist()) <= set(depth.unique().tolist())
        grown += (after > depth).sum().item()
        shrunk += (after < depth).sum().item()
    assert grown > 50 and shrunk > 50
    flat = torch.full((1, 40, 40), 0.4)
    assert all(torch.equal(after, flat) for after in changed(bleed_edges, flat))


def test_levels_are_counted_and_0_and_1_are_among_them():
    depth = torch.linspace(0, 1, 4000)[None, None]
    counts = [len(after.unique()) for after in changed(quantise_levels, depth)]
    assert NUM_LEVELS[0] <= min(counts) < max(counts) <= NUM_LEVELS[1]
    after = next(changed(quantise_levels, depth))
    assert after[..., 0] == 0 and after[..., -1] == 1
    assert (after - depth).abs().max() <= 0.5 / (NUM_LEVELS[0] - 1) + 1e-6


def test_nothing_changes_where_all_is_off(monkeypatch):
    for name, off in (("PROBABILITY", 0.0), ("MIN_SCALE", 1.0), ("NOISE", 0.0)):
        monkeypatch.setattr(depth_augmentation, name, off)
    depth = torch.rand(1, 30, 40)
    assert all(torch.equal(after, depth) for after in changed(augment_depth, depth))
    assert all(torch.equal(after, depth) for after in changed(augment_brightness, depth))


def test_some_maps_get_holes_and_some_none():
    depth = step()
    with_holes = [(after == 0).any().item() for after in changed(augment_depth, depth, 60)]
    assert 10 < sum(with_holes) < 55


def test_other_modalities_get_no_holes_and_channels_change_alike():
    image = (torch.rand(1, 64, 64) * 0.5 + 0.3).expand(3, -1, -1)
    for after in changed(augment_brightness, image):
        assert after.shape == image.shape and after.min() > 0.1
        assert (after[0] - after[1]).abs().mean() < 0.03  # noise alone
