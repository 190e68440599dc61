"""Transforms of an RGB image, its depth map and its mask.

Geometry is joint: the three go through one transform, which draws its random numbers once. What
changes values is not: colour and depth come from different sensors.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from datamodules.depth_augmentation import augment_depth

CROP_AREA = (0.6, 1.0)  # fraction of the image kept by a random crop
CROP_ASPECT = (0.75, 1.33)  # width / height of the crop in pixels
MAX_ROTATION = 10.0  # degrees, to either side
COLOUR_JITTER = 0.2  # largest relative change of brightness, contrast and saturation
HUE_JITTER = 0.02  # fraction of the colour circle


class TrainTransform:
    """Crop, flip and rotate the three jointly; change colour and depth values separately.

    Draws from torch's global generator, which `SeededDataset` seeds anew for every sample. What is
    left empty by a rotation is black, and as far as can be.

    Args:
        image_size: Side of the square output in pixels.
        change_depth: Changes the values of the depth map, after geometry.

    >>> rgb, depth, mask = TrainTransform(image_size=32)(
    ...     torch.zeros(3, 48, 64, dtype=torch.uint8), torch.zeros(1, 48, 64),
    ...     torch.ones(1, 48, 64, dtype=torch.bool))
    >>> rgb.shape, depth.shape, mask.shape
    (torch.Size([3, 32, 32]), torch.Size([1, 32, 32]), torch.Size([1, 32, 32]))
    """

    def __init__(
        self, image_size: int, change_depth: Callable[[Tensor], Tensor] = augment_depth
    ) -> None:
        size = (image_size, image_size)
        self.change_depth = change_depth
        self.geometry = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=CROP_AREA, ratio=CROP_ASPECT, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomRotation(MAX_ROTATION, interpolation=v2.InterpolationMode.BILINEAR),
            ]
        )
        self.colour = v2.ColorJitter(COLOUR_JITTER, COLOUR_JITTER, COLOUR_JITTER, HUE_JITTER)

    def __call__(
        self, rgb: Tensor, depth: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Transform uint8 `(3, H, W)`, float32 `(C, H, W)` in [0, 1] and bool `(1, H, W)`.

        Returns:
            Float32 tensors of the output size, RGB and depth in [0, 1], the mask in {0, 1}, or
            `None` if there was none.
        """
        rgb, depth, mask = _transform_jointly(self.geometry, rgb, depth, mask)
        return self.colour(rgb).clamp(0.0, 1.0), self.change_depth(depth).clamp(0.0, 1.0), mask


class EvalTransform:
    """Resize the RGB image, the depth map and the mask.

    Args:
        image_size: Side of the square output in pixels.
    """

    def __init__(self, image_size: int) -> None:
        self.resize = v2.Resize((image_size, image_size), antialias=True)

    def __call__(
        self, rgb: Tensor, depth: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Take and return what `TrainTransform` does."""
        return _transform_jointly(self.resize, rgb, depth, mask)


def _transform_jointly(
    geometry: v2.Transform | v2.Compose, rgb: Tensor, depth: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    images = [
        tv_tensors.Image(v2.functional.to_dtype(image, torch.float32, scale=True))
        for image in (rgb, depth, mask)
        if image is not None
    ]
    moved = [image.as_subclass(Tensor) for image in geometry(*images)]
    # The mask is interpolated like the images and thresholded: nearest-neighbour resizing, which
    # torchvision applies to masks, would shift it against them by up to half a pixel.
    return moved[0], moved[1], (moved[2] >= 0.5).float() if mask is not None else None
