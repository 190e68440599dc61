import colorsys
import math

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import adjust_hue, hflip, rotate

from datamodules import transforms
from datamodules.depth_augmentation import augment_brightness, augment_depth
from datamodules.transforms import EvalTransform, TrainTransform, flip_and_rotate, turn_hue


def example(height=96, width=128):
    """A disc that is the same in the RGB image, the depth map and the mask."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    disc = ((rows - 40) ** 2 + (columns - 75) ** 2 < 25**2)[None]
    return disc.expand(3, -1, -1).to(torch.uint8) * 255, disc.float(), disc


@pytest.mark.parametrize("transform", [TrainTransform(64), EvalTransform(64)])
def test_types_sizes_and_ranges(transform):
    rgb, depth, mask = transform(*example())
    assert rgb.shape == (3, 64, 64) and depth.shape == mask.shape == (1, 64, 64)
    for image in (rgb, depth, mask):
        assert type(image) is torch.Tensor and image.dtype == torch.float32
        assert image.min() >= 0 and image.max() <= 1
    assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_augmented_modalities_and_mask_stay_aligned():
    torch.manual_seed(0)
    transform = TrainTransform(64, augment_brightness)
    masks = []
    for _ in range(30):
        rgb, depth, mask = transform(*example())
        # A shift by one pixel would change more than 1 % of the pixels.
        for image in (rgb.mean(dim=0, keepdim=True), depth):
            seen = image > (image.min() + image.max()) / 2
            assert (seen != mask.bool()).float().mean() < 0.005
        masks.append(mask)
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 30


def test_geometry_is_exactly_that_of_the_mask_whatever_changes_depth():
    for seed in range(30):
        torch.manual_seed(seed)
        _, depth, mask = TrainTransform(64, lambda depth: depth)(*example())
        differs = (depth >= 0.5).float() != mask
        assert ((depth[differs] - 0.5).abs() < 0.01).all()  # the mask is resized in 8 bits
        torch.manual_seed(seed)
        assert torch.equal(TrainTransform(64)(*example())[2], mask)


def test_depth_changed_as_by_a_sensor_still_shows_the_object_where_it_is():
    torch.manual_seed(0)
    shares = []
    for _ in range(30):
        _, depth, mask = TrainTransform(64, augment_depth)(*example())
        seen = depth > 0.5
        shares.append((seen != mask.bool()).float().mean().item())
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
    assert torch.equal((rgb[:1] >= 0.5).float(), mask)
    assert torch.equal((depth >= 0.5).float(), mask)


def test_values_are_changed_separately():
    torch.manual_seed(0)
    grey = torch.full((3, 40, 40), 128, dtype=torch.uint8)
    flat, mask = torch.full((1, 40, 40), 0.5), torch.ones(1, 40, 40, dtype=torch.bool)
    transform = TrainTransform(32)
    # The middle: rotation fills the corners.
    middle = (..., slice(12, 20), slice(12, 20))
    pairs = [transform(grey, flat, mask)[:2] for _ in range(40)]
    values = torch.tensor([[rgb[middle].mean(), depth[middle].mean()] for rgb, depth in pairs])
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
    torch.testing.assert_close(resized[0], rgb / 255)
    torch.testing.assert_close(resized[1], depth)
    torch.testing.assert_close(resized[2], mask.float())


@pytest.mark.parametrize("draws", [(0.9, 0.2), (0.1, 0.2), (0.1, 0.95)])
def test_flip_and_rotation_are_those_of_torchvision(monkeypatch, draws):
    images = torch.rand(5, 48, 48)
    flip, turn = draws
    numbers = iter(draws)
    monkeypatch.setattr(torch, "rand", lambda size: torch.tensor(next(numbers)))
    expected = hflip(images) if flip >= 0.5 else images
    angle = transforms.MAX_ROTATION * (2 * turn - 1)
    # Its positive angles are counter-clockwise, and ours turn with the mirror.
    candidates = [rotate(expected, sign * angle, InterpolationMode.BILINEAR) for sign in (1, -1)]
    ours = flip_and_rotate(images)
    assert min((ours - other).abs().max() for other in candidates) < 1e-4
    assert max((ours - other).abs().max() for other in candidates) > 0.1


def test_hue_turns_as_that_of_torchvision_and_keeps_greys(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda size: torch.tensor(1.0))
    vivid = torch.tensor([[0.6, 0.4, 0.4], [0.4, 0.6, 0.4], [0.4, 0.4, 0.6], [0.6, 0.6, 0.4]])
    rgb = vivid.T.reshape(3, 2, 2)
    turned = turn_hue(rgb).reshape(3, -1).T.tolist()
    expected = adjust_hue(rgb, transforms.HUE_JITTER).reshape(3, -1).T.tolist()
    for ours, torchvision, before in zip(turned, expected, vivid.tolist(), strict=True):
        hues = [colorsys.rgb_to_hsv(*colour)[0] for colour in (ours, torchvision, before)]
        assert abs((hues[0] - hues[1] + 0.5) % 1 - 0.5) < 0.2 * transforms.HUE_JITTER
        assert abs((hues[0] - hues[2] + 0.5) % 1 - 0.5) > 0.8 * transforms.HUE_JITTER
    torch.testing.assert_close(turn_hue(rgb).mean(0), rgb.mean(0))
    monkeypatch.setattr(transforms, "HUE_JITTER", 1 / 3)
    torch.testing.assert_close(turn_hue(rgb), rgb.roll(1, 0))
    assert math.isclose(turn_hue(torch.ones(3, 2, 2)).std().item(), 0.0, abs_tol=1e-6)
