"""What a network is given: shapes that fit together, and values in the range that it expects."""

import torch
from torch import Tensor

from mutualformer.errors import UserError

# Interpolation and rounding may leave the range by this much.
_SLACK = 0.01


def check_shapes(rgb: Tensor, depth: Tensor, depth_channels: int) -> None:
    """Refuse images that are no pair.

    Raises:
        UserError: they are not `(B, 3, H, W)` and `(B, depth_channels, H, W)`.
    """
    size = rgb.shape[-2:]
    if rgb.shape[1:] != (3, *size) or depth.shape != (rgb.shape[0], depth_channels, *size):
        raise UserError(
            f"rgb is {tuple(rgb.shape)} and depth is {tuple(depth.shape)}; "
            f"expected (B, 3, H, W) and (B, {depth_channels}, H, W): depth_channels of "
            "the network and of the data must be the same"
        )


def check_range(**images: Tensor) -> None:
    """Refuse images whose values are not in [0, 1], such as bytes, or standardised ones.

    Raises:
        UserError: names the image and its range.
    """
    for name, image in images.items():
        if not image.is_floating_point():
            raise UserError(
                f"{name} is of {image.dtype}, expected floats in [0, 1]: divide by the largest "
                "value that it can have, such as 255"
            )
        if image.is_meta or torch.compiler.is_compiling():
            continue
        lowest, highest = (bound.item() for bound in image.detach().aminmax())
        if lowest < -_SLACK or highest > 1 + _SLACK:
            raise UserError(
                f"{name} has values from {lowest:.3g} to {highest:.3g}, expected [0, 1]: divide by "
                "the largest value that it can have, such as 255; mean and standard deviation are "
                "the network's to take out"
            )
