"""Transforms of an RGB image, its depth map and its mask.

Geometry is joint: the three go through one transform, which draws its random numbers once. What
changes values is not: colour and depth come from different sensors.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
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
        self.crop = v2.RandomResizedCrop(size, scale=CROP_AREA, ratio=CROP_ASPECT, antialias=True)
        self.colour = v2.Compose(
            [v2.ColorJitter(COLOUR_JITTER, COLOUR_JITTER, COLOUR_JITTER), turn_hue]
        )

    def __call__(
        self, rgb: Tensor, depth: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Transform uint8 `(3, H, W)`, float32 `(C, H, W)` in [0, 1] and bool `(1, H, W)`.

        Returns:
            Float32 tensors of the output size, RGB and depth in [0, 1], the mask in {0, 1}, or
            `None` if there was none.
        """
        images = flip_and_rotate(_resize_jointly(self.crop, rgb, depth, mask))
        rgb, depth, mask = _separate(images, mask is not None)
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
        return _separate(_resize_jointly(self.resize, rgb, depth, mask), mask is not None)


def flip_and_rotate(images: Tensor) -> Tensor:
    """Mirror half of the images, and rotate all, about their centre; empty corners become 0.

    Both in one interpolation, in a third of the time that torchvision takes for the rotation.

    Args:
        images: float32 `(C, H, H)`, square.
    """
    mirror = 1.0 if torch.rand(()) < 0.5 else -1.0
    angle = math.radians(MAX_ROTATION * (2.0 * float(torch.rand(())) - 1.0))
    cosine, sine = math.cos(angle), math.sin(angle)
    size = images.shape[-1]
    position = (2.0 * torch.arange(size) + 1.0) / size - 1.0
    # The sum is what affine_grid returns, in a quarter of its time.
    along = position[:, None] * torch.tensor([mirror * cosine, sine])
    down = position[:, None, None] * torch.tensor([-mirror * sine, cosine])
    return F.grid_sample(images[None], (along + down)[None], align_corners=False)[0]


def turn_hue(rgb: Tensor) -> Tensor:
    """Turn all colours about the axis of greys, by a random angle up to `HUE_JITTER`.

    Grey is kept, and so is the mean of the channels. It is thirty times as fast as torchvision's
    way through HSV.

    Args:
        rgb: float32 `(3, H, W)`; what leaves [0, 1] is not clipped.

    >>> turn_hue(torch.full((3, 2, 2), 0.5)).allclose(torch.tensor(0.5))
    True
    """
    angle = 2.0 * math.pi * HUE_JITTER * (2.0 * float(torch.rand(())) - 1.0)
    third, cosine = (1.0 - math.cos(angle)) / 3.0, math.cos(angle)
    side = math.sin(angle) / math.sqrt(3.0)
    # Rodrigues' formula about (1, 1, 1) / √3.
    same, next_channel, last_channel = cosine + third, third - side, third + side
    matrix = torch.tensor(
        [
            [same, next_channel, last_channel],
            [last_channel, same, next_channel],
            [next_channel, last_channel, same],
        ]
    )
    return (matrix @ rgb.reshape(3, -1)).view(rgb.shape)


def _resize_jointly(
    resize: v2.Transform, rgb: Tensor, depth: Tensor, mask: Tensor | None
) -> Tensor:
    """Return what is resized as one float32 tensor `(C, H, W)`, mask last.

    Images of 8 bits stay so until they are small, which is what resizing is fast for.
    """
    images = [rgb, depth] + ([] if mask is None else [mask.to(torch.uint8) * 255])
    resized = resize(*[tv_tensors.Image(image) for image in images])
    return torch.cat(
        [
            v2.functional.to_dtype(image.as_subclass(Tensor), torch.float32, scale=True)
            for image in resized
        ]
    )


def _separate(images: Tensor, with_mask: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    if not with_mask:
        return images[:3], images[3:], None
    # The mask is interpolated like the images and thresholded: nearest-neighbour resizing, which
    # torchvision applies to masks, would shift it against them by up to half a pixel.
    return images[:3], images[3:-1], (images[-1:] >= 0.5).float()
