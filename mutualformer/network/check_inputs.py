"""What a network is given: shapes that fit together, and values in the range that it expects."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mutualformer.errors import UserError

# Interpolation and rounding may leave the range by this much.
_SLACK = 0.01


def check_shapes(images: Mapping[str, tuple[Tensor | None, int]]) -> dict[str, Tensor]:
    """Refuse images that do not belong together.

    Args:
        images: by name, those that are read, each with the number of channels that it should have.

    Returns:
        The images by name.

    Raises:
        UserError: one is missing, or they are not `(B, channels, H, W)`.
    """
    given = {name: image for name, (image, _) in images.items() if image is not None}
    shapes = {name: tuple(image.shape) for name, image in given.items()}
    batch, _, *size = next(iter(shapes.values()), (0, 0))
    # Shape by shape, which torch's compiler follows through sizes that it does not know.
    if any(shapes.get(name) != (batch, channels, *size) for name, (_, channels) in images.items()):
        found = " and ".join(f"{name} is {shapes.get(name)}" for name in images)
        expected = " and ".join(f"(B, {channels}, H, W)" for _, channels in images.values())
        remedy = "depth_channels of the network and of the data must be the same"
        for name in images.keys() - given.keys():
            other = "rgb" if name == "depth" else "depth"
            remedy = f"the fusion reads {name}; one that does not is called {other}"
        raise UserError(f"{found}; expected {expected}: {remedy}")
    return given


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
