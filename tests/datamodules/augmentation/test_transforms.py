import colorsys

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)

from datamodules.augmentation import transforms
from datamodules.augmentation.depth_augmentation import augment_brightness, augment_depth
from datamodules.augmentation.transforms import EvalTransform, TrainTransform, jitter_colours


def example(height=96, width=128):
    """A disc that is the same in the RGB image, the depth map and the mask."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = ((rows - 40) ** 2 + (columns - 75) ** 2 < 25**2)[None]
    return disc.expand(3, -1, -1).to(torch.uint8) * 255, disc.float(), disc


@pytest.mark.parametrize("transform", [TrainTransform, EvalTransform])
@pytest.mark.parametrize(("size", "sides"), [(64, (64, 64)), ((48, 96), (48, 96))])
def test_types_sizes_and_ranges(transform, size, sides):
    rgb, depth, mask = transform(size)(*example())
    assert rgb.shape == (3, *sides) and depth.shape == mask.shape == (1, *sides)
    assert all(type(image) is torch.Tensor for image in (rgb, depth, mask))
    assert (rgb.dtype, depth.dtype, mask.dtype) == (torch.uint8, torch.float32, torch.bool)
    assert depth.min() >= 0 and depth.max() <= 1
    assert mask.any() and not mask.all()


@pytest.mark.parametrize("size", [64, (48, 80), (96, 40)])
def test_augmented_modalities_and_mask_stay_aligned(size):
    torch.manual_seed(0)
    transform = TrainTransform(size, augment_brightness)
    masks = []
    for _ in range(30):
        rgb, depth, mask = transform(*example())
        # A shift by one pixel would change more than 1 % of the pixels.
        for image in (rgb.float().mean(dim=0, keepdim=True), depth):
            seen = image > (image.min() + image.max()) / 2
            assert (seen != mask).float().mean() < 0.005
        masks.append(mask)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 30


def test_geometry_is_exactly_that_of_the_mask_whatever_changes_depth():
    for seed in range(30):
        torch.manual_seed(seed)
        _, depth, mask = TrainTransform(64, lambda depth: depth)(*example())
        differs = (depth >= 0.5) != mask
        assert ((depth[differs] - 0.5).abs() < 0.01).all()  # the mask is resized in 8 bits
        torch.manual_seed(seed)
        assert torch.equal(TrainTransform(64)(*example())[2], mask)


def test_depth_changed_as_by_a_sensor_still_shows_the_object_where_it_is():
    torch.manual_seed(0)
    shares = []
    for _ in range(30):
        _, depth, mask = TrainTransform(64, augment_depth)(*example())
        seen = depth > 0.5
        shares.append((seen != mask).float().mean().item())
    # Holes and moved edges, of at most a pixel at this size.
    assert 0 < max(shares) < 0.08 and sorted(shares)[15] < 0.03


def test_a_second_modality_of_three_channels():
    rgb, depth, mask = example()
    torch.manual_seed(0)
    three = TrainTransform(64, augment_brightness)(rgb, depth.expand(3, -1, -1), mask)
    assert three[1].shape == (3, 64, 64)
    assert EvalTransform(64)(rgb, depth.expand(3, -1, -1), mask)[1].shape == (3, 64, 64)


def test_resized_modalities_and_mask_stay_aligned_where_the_size_is_odd():
    rgb, depth, mask = EvalTransform(37)(*example())
    assert torch.equal(rgb[:1] > 127, mask)
    assert torch.equal(depth >= 0.5, mask)


def test_values_are_changed_separately():
    torch.manual_seed(0)
    grey = torch.full((3, 40, 40), 128, dtype=torch.uint8)
    flat, mask = torch.full((1, 40, 40), 0.5), torch.ones(1, 40, 40, dtype=torch.bool)
    transform = TrainTransform(32)
    # The middle: rotation fills the corners.
    middle = (..., slice(12, 20), slice(12, 20))
    pairs = [transform(grey, flat, mask)[:2] for _ in range(40)]
    values = torch.tensor(
        [[rgb[middle].float().mean() / 255, depth[middle].mean()] for rgb, depth in pairs]
    )
    assert values.std(dim=0).min() > 0.02
    assert torch.corrcoef(values.T)[0, 1].abs() < 0.4


def test_evaluation_is_not_random_and_works_without_a_mask():
    rgb, depth, mask = example()
    transform = EvalTransform(64)
    first, second = transform(rgb, depth, mask), transform(rgb, depth, None)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert second[2] is None
    assert torch.equal(transform(rgb, depth, mask)[2], first[2])


def test_evaluation_at_the_original_size_changes_nothing():
    rgb, depth, mask = example(64, 64)
    resized = EvalTransform(64)(rgb, depth, mask)
    torch.testing.assert_close(resized[0], rgb)
    torch.testing.assert_close(resized[1], depth)
    torch.testing.assert_close(resized[2], mask)


def jitter(monkeypatch, rgb, **strengths):
    """Change colours to the end of the ranges given, and leave the other properties alone."""
    for name in ("COLOUR_JITTER", "HUE_JITTER"):
        monkeypatch.setattr(transforms, name, strengths.get(name, 0.0))
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.ones(*size, **options))
    return jitter_colours(rgb)


def test_each_colour_change_is_that_of_torchvision(monkeypatch):
    rgb = np.random.default_rng(0).integers(60, 150, (32, 32, 3), np.uint8)
    image = torch.from_numpy(rgb).permute(2, 0, 1) / 255
    ours = jitter(monkeypatch, rgb, COLOUR_JITTER=0.2)
    expected = adjust_saturation(adjust_contrast(adjust_brightness(image, 1.2), 1.2), 1.2)
    assert (torch.from_numpy(ours).permute(2, 0, 1) / 255 - expected).abs().max() < 0.006
    assert (expected - image).abs().mean() > 0.06


def test_colours_that_leave_the_range_are_clipped(monkeypatch):
    rgb = np.array([[[250, 0, 0], [255, 255, 255], [0, 0, 0]]], np.uint8)
    assert jitter(monkeypatch, rgb, COLOUR_JITTER=0.2)[0, :2].max() == 255


def test_hue_turns_as_that_of_torchvision_and_keeps_greys(monkeypatch):
    vivid = np.array([[[150, 100, 100], [100, 150, 100], [100, 100, 150], [150, 150, 100]]])
    expected = adjust_hue(torch.from_numpy(vivid).permute(2, 0, 1) / 255, 0.1)
    turned = jitter(monkeypatch, vivid.astype(np.uint8), HUE_JITTER=0.1)[0] / 255
    for ours, torchvision, before in zip(turned, expected[:, 0].T, vivid[0] / 255, strict=True):
        hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in (ours, torchvision.tolist(), before)]
        assert abs((hues[0] - hues[1] + 0.5) % 1 - 0.5) < 0.02
        assert abs((hues[0] - hues[2] + 0.5) % 1 - 0.5) > 0.08
    np.testing.assert_allclose(turned.mean(-1), vivid[0].mean(-1) / 255, atol=0.004)
    grey = np.full((2, 2, 3), 77, np.uint8)
    assert np.array_equal(jitter(monkeypatch, grey, HUE_JITTER=0.1), grey)
    third = jitter(monkeypatch, vivid.astype(np.uint8), HUE_JITTER=1 / 3)
    assert np.array_equal(third, np.roll(vivid, 1, axis=-1))


def test_colours_differ_from_draw_to_draw():
    rgb = np.random.default_rng(0).integers(60, 150, (8, 8, 3), np.uint8)
    torch.manual_seed(0)
    means = np.array([jitter_colours(rgb).mean((0, 1)) for _ in range(50)])
    assert means.mean(1).std() > 5 and (means - means.mean(1, keepdims=True)).std() > 0.2
