"""A saliency map over its image."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

_COLOUR = (213, 94, 0)
_OPACITY = 0.7


def draw_saliency_overlay(image: Tensor, saliency: Image.Image) -> Image.Image:
    """Tint an image where it is salient.

    Args:
        image: `(1 or 3, h, w)` in [0, 1], of any size.
        saliency: of 8 bits; the picture is of its size.

    >>> draw_saliency_overlay(torch.zeros(1, 2, 2), Image.new("L", (4, 3), 255)).getpixel((0, 0))
    (149, 66, 0)
    """
    size = (saliency.height, saliency.width)
    grown = interpolate(image[None].float().cpu(), size=size, mode="bilinear")[0]
    below = grown.expand(3, -1, -1).clamp(0, 1) * 255
    opacity = _OPACITY * torch.from_numpy(np.array(saliency, np.float32) / 255)
    mixed = (1 - opacity) * below + opacity * torch.tensor(_COLOUR).view(3, 1, 1)
    return Image.fromarray(mixed.round().to(torch.uint8).permute(1, 2, 0).numpy())
