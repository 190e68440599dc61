"""Views of an image, compared with torchvision's crop, resize, mirror and rotation."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import hflip, resize, rotate

from datamodules.augmentation import random_view
from datamodules.augmentation.random_view import MAX_TURN, RandomView, draw_view, render


def smooth_image(height, width, channels=3):
    """Low frequencies, of which all ways of interpolation make nearly the same."""
    noise = torch.rand(channels, 6, 7, generator=torch.Generator().manual_seed(0))
    return resize(noise, [height, width], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)


def rendered(image, view, size):
    array = render(np.ascontiguousarray(image.permute(1, 2, 0)), view, size)
    return torch.from_numpy(array.reshape(size, size, -1)).permute(2, 0, 1)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [45, 64, 100])  # shrunk, not resized, enlarged
def test_crop_resize_and_mirror_are_those_of_torchvision(mirrored, size):
    image = smooth_image(90, 120)
    expected = resize(image[:, 10:74, 30:94], [size, size], antialias=False)
    expected = hflip(expected) if mirrored else expected
    ours = rendered(image, RandomView(10, 30, 64, 64, mirrored, 0.0), size)
    assert (ours - expected).abs().max() < 0.02
    eight_bits = rendered(
        (image * 255).round().byte(), RandomView(10, 30, 64, 64, mirrored, 0), size
    )
    assert (eight_bits - 255 * expected).abs().max() < 4


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [10, -15, 90])
def test_turns_are_those_of_torchvision(mirrored, degrees):
    image = smooth_image(64, 64, channels=1)
    expected = rotate(hflip(image) if mirrored else image, degrees, InterpolationMode.BILINEAR)
    # The mirror comes last, and torchvision's angles are counter-clockwise.
    angle = math.radians(degrees) * (1 if not mirrored else -1)
    ours = rendered(image, RandomView(0, 0, 64, 64, mirrored, angle), 64)
    candidates = [ours, rendered(image, RandomView(0, 0, 64, 64, mirrored, -angle), 64)]
    differences = [(each - expected)[:, 2:-2, 2:-2].abs().mean() for each in candidates]
    assert min(differences) < 0.003 < 0.02 < max(differences)


@pytest.mark.parametrize("shape", [(1080, 960), (203, 311)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_large_image_is_shrunk_without_a_shift(shape, mirrored):
    image = smooth_image(*shape, channels=1)
    view = RandomView(0, 0, *shape, mirrored, 0.0)
    expected = resize(hflip(image) if mirrored else image, [64, 64], antialias=True)
    assert (rendered(image, view, 64) - expected).abs().mean() < 0.004
    # Single pixels count, none is jumped over.
    noise = torch.rand(1, *shape)
    assert rendered(noise, view, 64).std() < 0.6 * noise.std()


def test_turned_and_not_turned_show_the_same_at_the_smallest_angle():
    image = smooth_image(90, 120)
    for mirrored in (False, True):
        straight, turned = (
            rendered(image, RandomView(5, 20, 80, 70, mirrored, angle), 48) for angle in (0.0, 1e-9)
        )
        assert (straight - turned).abs().max() < 0.02


def test_beyond_the_image_is_0_and_beyond_the_crop_is_the_image():
    white = torch.ones(1, 90, 90)
    corners = rendered(white, RandomView(0, 0, 90, 90, False, math.radians(15)), 48)[0]
    assert corners[0, 0] == corners[-1, -1] == 0 and corners[24, 24] == 1
    inside = rendered(white, RandomView(20, 20, 50, 50, False, math.radians(15)), 48)
    assert inside.min() > 0.99


def test_draws_cover_mirror_turn_and_crop():
    torch.manual_seed(0)
    image = torch.zeros(3, 60, 80)
    views = [draw_view(image) for _ in range(400)]
    turned = [view.angle for view in views if view.angle]
    assert 0.14 < len(turned) / len(views) < 0.26
    assert -math.radians(MAX_TURN) <= min(turned) < -0.2 and 0.2 < max(turned) < 0.262
    assert 0.4 < sum(view.mirrored for view in views) / len(views) < 0.6
    areas = [view.height * view.width / (60 * 80) for view in views]
    assert random_view.CROP_AREA[0] - 0.02 < min(areas) < 0.7 and 0.9 < max(areas) <= 1
    for view in views:
        assert 0 <= view.top <= 60 - view.height and 0 <= view.left <= 80 - view.width
