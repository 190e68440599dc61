"""What holds of transforms for images of any size and content."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from datamodules.augmentation.transforms import EvalTransform, TrainTransform

many = settings(max_examples=40, deadline=None, derandomize=True)
SIDES = st.integers(24, 90)
SEEDS = st.integers(0, 2**32)


def scene(height: int, width: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return an RGB image, a depth map and a mask that all show the same ellipse."""
    generator = np.random.default_rng(seed)
    rows, columns = np.ogrid[:height, :width]
    y, x = generator.uniform(0.3, 0.7, 2) * (height, width)
    high, wide = generator.uniform(0.15, 0.3, 2) * (height, width)
    shape = torch.from_numpy(((rows - y) / high) ** 2 + ((columns - x) / wide) ** 2 < 1)[None]
    return (shape.expand(3, -1, -1) * 255).byte(), shape.float(), shape


@many
@given(SIDES, SIDES, st.sampled_from([32, 48, 57]), SEEDS)
def test_augmentation_keeps_the_three_aligned(height, width, size, seed) -> None:
    transform = TrainTransform(size, change_depth=lambda depth: depth)
    torch.manual_seed(seed)
    rgb, depth, mask = transform(*scene(height, width, seed))
    assert mask is not None and mask.any() and not mask.all()
    # Interpolated values near one half may be rounded to either side.
    unsure = (depth - 0.5).abs() < 0.02
    assert ((depth > 0.5) == mask)[~unsure].all()
    inside, outside = (
        rgb.float().mean(0, keepdim=True)[part] for part in (depth > 0.9, depth < 0.1)
    )
    assert inside.min() > outside.max()


@many
@given(SIDES, SIDES, st.sampled_from([32, 57]), SEEDS, st.booleans(), st.booleans())
def test_shapes_and_ranges(height, width, size, seed, augment, with_mask) -> None:
    generator = torch.Generator().manual_seed(seed)
    rgb = torch.randint(0, 256, (3, height, width), generator=generator).byte()
    depth = torch.rand(1, height, width, generator=generator)
    mask = torch.rand(1, height, width, generator=generator) > 0.5 if with_mask else None
    before = [x.clone() for x in (rgb, depth)]
    torch.manual_seed(seed)
    outputs = (TrainTransform if augment else EvalTransform)(size)(rgb, depth, mask)
    for output, channels in zip(outputs, (3, 1, 1), strict=True):
        if output is None:
            assert not with_mask
            continue
        assert output.shape == (channels, size, size)
    assert outputs[0].dtype == torch.uint8 and outputs[1].dtype == torch.float32
    assert outputs[1].min() >= 0 and outputs[1].max() <= 1
    assert outputs[2] is None or outputs[2].dtype == torch.bool
    assert rgb.equal(before[0]) and depth.equal(before[1])


@many
@given(SIDES, SIDES, SEEDS)
def test_holes_stay_zero(height, width, seed) -> None:
    """Half of the map is a hole, so that most of it lies far from any reading."""
    rgb, depth, mask = scene(height, width, seed)
    depth = 0.3 + 0.7 * torch.rand(1, height, width)
    hole = torch.zeros(1, height, width, dtype=torch.bool)
    hole[..., : width // 2] = True
    depth[hole] = 0.0
    for transform in (EvalTransform(48), TrainTransform(48, change_depth=lambda depth: depth)):
        torch.manual_seed(seed)
        _, changed, moved_hole = transform(rgb, depth, hole)
        assert moved_hole is not None
        # Pixels whose neighbours are all holes too; an interpolation reaches two pixels far.
        surely = -torch.nn.functional.max_pool2d(-moved_hole[None].float(), 7, 1, 3)[0] == 1
        assert (changed[surely] == 0).all()
    _, nothing, _ = TrainTransform(48, change_depth=lambda depth: depth)(rgb, depth * 0, mask)
    assert not nothing.any()


@many
@given(SIDES, SEEDS)
def test_at_the_original_size_evaluation_changes_nothing(size, seed) -> None:
    rgb, depth, mask = scene(size, size, seed)
    same = EvalTransform(size)(rgb, depth, mask)
    torch.testing.assert_close(same, (rgb, depth, mask), rtol=0, atol=1e-6)
