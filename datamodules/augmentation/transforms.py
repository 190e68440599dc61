"""Transforms of an RGB image, its depth map and its mask.

Geometry is joint: the three go through one view, drawn once. What changes values is not: colour and
depth come from different sensors. The paper publishes no augmentation; the choices and strengths
here, in `random_view` and in `depth_augmentation` are assumptions, usual in the field.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from datamodules.augmentation.depth_augmentation import augment_depth
from datamodules.augmentation.random_view import draw_view, render
from datamodules.image_size import ImageSize, height_and_width

COLOUR_JITTER = 0.2  # largest relative change of brightness, contrast and saturation
HUE_JITTER = 0.02  # fraction of the colour circle
LUMA = np.array([0.299, 0.587, 0.114])  # grey value of a colour, ITU-R BT.601


class TrainTransform:
    """Crop, mirror and turn the three jointly; change colour and depth values separately.

    Draws from torch's global generator, which `SeededDataset` seeds anew for every sample. What a
    turned view shows beyond the image is black, and as far as can be.

    Args:
        image_size: of the output in pixels: the side of a square, or `(height, width)`.
        change_depth: changes the values of the depth map, after geometry.

    >>> rgb, depth, mask = TrainTransform(image_size=32)(
    ...     torch.zeros(3, 48, 64, dtype=torch.uint8), torch.zeros(1, 48, 64),
    ...     torch.ones(1, 48, 64, dtype=torch.bool))
    >>> rgb.shape, depth.shape, mask.shape
    (torch.Size([3, 32, 32]), torch.Size([1, 32, 32]), torch.Size([1, 32, 32]))
    """

    def __init__(
        self, image_size: ImageSize, change_depth: Callable[[Tensor], Tensor] = augment_depth
    ) -> None:
        self.image_size = height_and_width(image_size, smallest=1)
        self.change_depth = change_depth

    def __call__(
        self, rgb: Tensor, depth: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Transform uint8 `(3, H, W)`, float32 `(C, H, W)` in [0, 1] and bool `(1, H, W)`.

        Returns:
            Tensors of the same types at the output size; no mask if there was none.
        """
        view = draw_view(rgb, self.image_size)

        def render_tensor(image: Tensor) -> NDArray:
            return render(channels_last(image), view, self.image_size)

        rgb = channels_first(jitter_colours(render_tensor(rgb)))
        depth = self.change_depth(channels_first(render_tensor(depth))).clamp(0.0, 1.0)
        if mask is not None:
            # Interpolated like the images and thresholded: the nearest neighbour would shift it
            # against them by up to half a pixel.
            mask = channels_first(render_tensor(mask.view(torch.uint8) * 255)) > 127
        return rgb, depth, mask


class EvalTransform:
    """Resize the RGB image, the depth map and the mask.

    Args:
        image_size: of the output in pixels: the side of a square, or `(height, width)`.
    """

    def __init__(self, image_size: ImageSize) -> None:
        self.resize = v2.Resize(height_and_width(image_size, smallest=1), antialias=True)

    def __call__(
        self, rgb: Tensor, depth: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Take and return what `TrainTransform` does."""
        images = [rgb, depth] if mask is None else [rgb, depth, mask.view(torch.uint8) * 255]
        resized = self.resize(*[tv_tensors.Image(image) for image in images])
        rgb, depth, *grey_mask = (image.as_subclass(Tensor) for image in resized)
        return rgb, depth, grey_mask[0] > 127 if grey_mask else None


def jitter_colours(rgb: NDArray) -> NDArray:
    """Change brightness, contrast, saturation and hue by random amounts, up to the constants above.

    All four are linear in the colour, so that one matrix does, a fiftieth of the time that
    torchvision's `ColorJitter` takes, which clips in between. Hue turns about the axis of greys.

    Args:
        rgb: uint8 `(H, W, 3)`.
    """
    brightness, contrast, saturation = (
        1.0 + COLOUR_JITTER * (2.0 * torch.rand(3, dtype=torch.float64) - 1.0)
    ).tolist()
    angle = 2.0 * math.pi * HUE_JITTER * (2.0 * float(torch.rand(())) - 1.0)
    mean_grey = LUMA @ cv2.mean(rgb)[:3]
    saturate = saturation * np.eye(3) + (1.0 - saturation) * LUMA
    matrix = brightness * contrast * hue_rotation(angle) @ saturate
    offset = np.full((3, 1), brightness * (1.0 - contrast) * mean_grey)  # grey, which both keep
    return cv2.transform(rgb, np.hstack([matrix, offset]))


def hue_rotation(angle: float) -> NDArray:
    """Return the `(3, 3)` rotation of RGB colours about (1, 1, 1), by Rodrigues' formula.

    >>> bool(np.allclose(hue_rotation(1.0) @ [5, 5, 5], 5))
    True
    """
    third, cosine = (1.0 - math.cos(angle)) / 3.0, math.cos(angle)
    side = math.sin(angle) / math.sqrt(3.0)
    same, next_channel, last_channel = cosine + third, third - side, third + side
    return np.array(
        [
            [same, next_channel, last_channel],
            [last_channel, same, next_channel],
            [next_channel, last_channel, same],
        ]
    )


def channels_last(image: Tensor) -> NDArray:
    """Return an array `(H, W, C)` as OpenCV takes it."""
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def channels_first(image: NDArray) -> Tensor:
    """Return a tensor `(C, H, W)`; OpenCV drops the axis of a single channel."""
    image = image.reshape(*image.shape[:2], -1)
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
