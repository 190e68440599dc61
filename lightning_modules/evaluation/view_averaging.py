"""Class probabilities of an image: seen whole or through windows, at several scales, mirrored."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mutualformer.check_options import is_number
from mutualformer.errors import UserError

Forward = Callable[[Tensor, Tensor], Tensor]


class ViewAveraging:
    """Average the softmax over views of an image, each brought back to the image's size.

    Args:
        scales: factors of height and width, each above 0.
        flip: whether each view is also seen mirrored.
        window: height and width in pixels of a window that slides over each scaled image; None for
            the whole of it. It is cut where an image is smaller.
        stride: by how much of its sides the window moves on, in (0, 1].

    Raises:
        UserError: an argument is outside its range.

    >>> views = ViewAveraging(scales=(0.5, 1.0), flip=True, window=(32, 48))
    >>> views.describe()
    'windows of 32 × 48 pixels that move by 2/3, scales 0.5, 1, mirrored too, softmax averaged'
    """

    def __init__(
        self,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        window: tuple[int, int] | None = None,
        stride: float = 2 / 3,
    ) -> None:
        if not scales or not all(is_number(scale) and 0 < scale <= 10 for scale in scales):
            raise UserError(
                f"test_scales is {list(scales)}, expected at least one number in (0, 10]"
            )
        if len(set(scales)) < len(scales):
            raise UserError(f"test_scales is {list(scales)}, expected each scale once")
        if window is not None and min(window) < 32:
            raise UserError(f"test_window is {list(window)}, expected sides of at least 32 pixels")
        if not (is_number(stride) and 0 < stride <= 1):
            raise UserError(f"test_window_stride is {stride}, expected a number in (0, 1]")
        if window is None and stride != 2 / 3:
            raise UserError(
                f"test_window_stride is {stride}, but there is no test_window, expected one: give "
                "--model.test_window=[HEIGHT,WIDTH], or leave the stride out"
            )
        self.scales = tuple(scales)
        self.flip = flip
        self.window = window
        self.stride = stride

    def describe(self) -> str:
        """Say in words what is averaged, for the protocol of results."""
        seen = "whole images"
        if self.window is not None:
            move = "2/3" if self.stride == 2 / 3 else f"{self.stride:g}"
            seen = f"windows of {self.window[0]} × {self.window[1]} pixels that move by {move}"
        scales = ", ".join(f"{scale:g}" for scale in self.scales)
        named = f"scale{'s' if len(self.scales) > 1 else ''} {scales}"
        mirrored = "mirrored too" if self.flip else "not mirrored"
        several = self.flip or self.window is not None or len(self.scales) > 1
        return ", ".join([seen, named, mirrored, *(["softmax averaged"] if several else [])])

    def __call__(self, forward: Forward, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return class probabilities.

        Args:
            forward: maps `(B, 3, H, W)` and `(B, C, H, W)` to logits `(B, K, H, W)`.
            rgb: of B images.
            depth: the same images' second modality.

        Returns:
            float32 `(B, K, H, W)`.
        """
        size = (rgb.shape[-2], rgb.shape[-1])
        total: Tensor | None = None
        mirrorings = (False, True) if self.flip else (False,)
        for scale, mirrored in itertools.product(self.scales, mirrorings):
            images = [_scaled(image, scale) for image in (rgb, depth)]
            if mirrored:
                images = [image.flip(-1) for image in images]
            part = self._through_windows(forward, *images)
            part = _resized(part.flip(-1) if mirrored else part, size)
            total = part if total is None else total + part
        assert total is not None
        return total / (len(self.scales) * len(mirrorings))

    def _through_windows(self, forward: Forward, rgb: Tensor, depth: Tensor) -> Tensor:
        if self.window is None:
            return forward(rgb, depth).float().softmax(1)
        size = (rgb.shape[-2], rgb.shape[-1])
        sides = [min(side, of_image) for side, of_image in zip(self.window, size, strict=True)]
        starts = [_starts(*pair, self.stride) for pair in zip(size, sides, strict=True)]
        total: Tensor | None = None
        counts = rgb.new_zeros(size, dtype=torch.float32)
        for top, left in itertools.product(*starts):
            part = (..., slice(top, top + sides[0]), slice(left, left + sides[1]))
            seen = forward(rgb[part], depth[part]).float().softmax(1)
            if total is None:
                total = seen.new_zeros(*seen.shape[:2], *size)
            total[part] += seen
            counts[part] += 1
        assert total is not None
        return total / counts


def _starts(size: int, side: int, stride: float) -> list[int]:
    """Return where windows begin: the last one ends where the image does.

    >>> _starts(100, 48, 2 / 3)
    [0, 32, 52]
    """
    step = max(1, math.ceil(side * stride - 1e-9))
    return sorted({*range(0, size - side, step), size - side})


def _scaled(image: Tensor, scale: float) -> Tensor:
    size = (max(1, round(image.shape[-2] * scale)), max(1, round(image.shape[-1] * scale)))
    return _resized(image, size).clamp(0.0, 1.0)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    if (image.shape[-2], image.shape[-1]) == size:
        return image
    return interpolate(image, size=size, mode="bilinear", align_corners=False)
