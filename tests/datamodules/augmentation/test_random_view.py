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
    size = (size, size) if isinstance(size, int) else size
    array = render(np.ascontiguousarray(image.permute(1, 2, 0)), view, size)
    return torch.from_numpy(array.reshape(*size, -1)).permute(2, 0, 1)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(45, 45), (64, 64), (100, 100), (48, 100), (100, 48)])
def test_crop_resize_and_mirror_are_those_of_torchvision(mirrored, size):
    image = smooth_image(90, 120)
    expected = resize(image[:, 10:74, 30:94], list(size), antialias=False)
    expected = hflip(expected) if mirrored else expected
    ours = rendered(image, RandomView(10, 30, 64, 64, mirrored, 0.0), size)
    assert (ours - expected).abs().max() < 0.02
    eight_bits = rendered(
        (image * 255).round().byte(), RandomView(10, 30, 64, 64, mirrored, 0), size
    )
    assert (eight_bits - 255 * expected).abs().max() < 4


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [10, -15, 90])
@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (96, 64)])
def test_turns_are_those_of_torchvision(mirrored, degrees, shape):
    """At any size, a turn is one of the output's pixels, which neither shears nor stretches."""
    image = smooth_image(*shape, channels=1)
    expected = rotate(hflip(image) if mirrored else image, degrees, InterpolationMode.BILINEAR)
    # The mirror comes last, and torchvision's angles are counter-clockwise.
    angle = math.radians(degrees) * (1 if not mirrored else -1)
    ours = rendered(image, RandomView(0, 0, *shape, mirrored, angle), shape)
    candidates = [ours, rendered(image, RandomView(0, 0, *shape, mirrored, -angle), shape)]
    differences = [(each - expected)[:, 2:-2, 2:-2].abs().mean() for each in candidates]
    assert min(differences) < 0.003 < 0.02 < max(differences)


@pytest.mark.parametrize("shape", [(1080, 960), (203, 311)])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_a_large_image_is_shrunk_without_a_shift(shape, mirrored, size):
    image = smooth_image(*shape, channels=1)
    view = RandomView(0, 0, *shape, mirrored, 0.0)
    expected = resize(hflip(image) if mirrored else image, list(size), antialias=True)
    assert (rendered(image, view, size) - expected).abs().mean() < 0.004
    # Single pixels count, none is jumped over.
    noise = torch.rand(1, *shape)
    assert rendered(noise, view, size).std() < 0.6 * noise.std()


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
    views = [draw_view(image, (64, 64)) for _ in range(400)]
    turned = [view.angle for view in views if view.angle]
    assert 0.14 < len(turned) / len(views) < 0.26
    assert -math.radians(MAX_TURN) <= min(turned) < -0.2 and 0.2 < max(turned) < 0.262
    assert 0.4 < sum(view.mirrored for view in views) / len(views) < 0.6
    areas = [view.height * view.width / (60 * 80) for view in views]
    assert random_view.CROP_AREA[0] - 0.02 < min(areas) < 0.7 and 0.9 < max(areas) <= 1
    for view in views:
        assert 0 <= view.top <= 60 - view.height and 0 <= view.left <= 80 - view.width


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (64, 48)])
def test_a_view_is_stretched_no_more_whatever_the_output_is(size):
    torch.manual_seed(0)
    image = torch.zeros(3, *(4 * side for side in size))
    views = [draw_view(image, size) for _ in range(300)]
    stretch = [view.width / view.height * size[0] / size[1] for view in views]
    low, high = random_view.CROP_ASPECT
    assert low - 0.02 < min(stretch) < low + 0.1 and high - 0.15 < max(stretch) < high + 0.02


@pytest.mark.parametrize("size", [(32, 96), (96, 32)])
def test_views_differ_though_the_output_has_other_proportions_than_the_image(size):
    torch.manual_seed(0)
    image = torch.zeros(3, 200, 200)
    assert len({draw_view(image, size)[:4] for _ in range(300)}) > 200
