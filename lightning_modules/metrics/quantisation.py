"""The protocol's resize and 8-bit step, shared by the scores and by every file that is written."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mutualformer.errors import UserError


def quantise(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a saliency map to the ground truth's size and store it in 8 bits.

    ``round(255 · resize(p))``, bilinear with neither antialiasing nor aligned corners. What is
    scored and what is saved both come from here, so a saved map scores the same as the map in
    memory.

    Args:
        probabilities: ``(1, H, W)``, floating point, in [0, 1]; logits must go through a sigmoid.
            Of uint8, levels v that stand for v / 255.
        size: ``(height, width)`` in pixels of the result.

    Returns:
        ``(1, height, width)`` uint8, on the device of the input.

    Raises:
        ValueError: the shape is not ``(1, H, W)``, or a value lies outside [0, 1] or is NaN.

    Numerics: computed in float32 whatever the input's type; halves round to even.

    >>> quantise(torch.tensor([[[0.0, 1.0]]]), (2, 2)).tolist()
    [[[0, 255], [0, 255]]]
    """
    if probabilities.ndim != 3 or probabilities.shape[0] != 1:
        raise ValueError(
            f"probabilities has the shape {tuple(probabilities.shape)}, expected (1, H, W): give "
            "one map at a time"
        )
    if probabilities.dtype == torch.uint8:
        if probabilities.shape[1:] == size:
            return probabilities
        probabilities = probabilities.float() / 255
    lowest, highest = (bound.item() for bound in torch.aminmax(probabilities.detach()))
    if not (lowest >= 0 and highest <= 1):
        raise UserError(
            f"probabilities has values from {lowest:.3g} to {highest:.3g}, expected [0, 1]: apply "
            "a sigmoid to logits, and look for a diverged model where this says nan"
        )
    resized = interpolate(
        probabilities.detach()[None].float(), size=size, mode="bilinear", align_corners=False
    )[0]
    return (resized * 255).round().clamp(0, 255).to(torch.uint8)
