"""Losses for saliency maps."""

import torch.nn.functional as F
from torch import Tensor

from mutualformer.errors import UserError


def weighted_bce_iou(logits: Tensor, mask: Tensor, *, window_size: int = 31) -> Tensor:
    """Sum a weighted binary cross-entropy and a weighted IoU loss, heavier near object borders.

        w    = 1 + 5 |mean of G over a window around the pixel − G|
        loss = Σ w BCE(p, G) / Σ w  +  1 − (1 + Σ w p G) / (1 + Σ w (p + G − p G))

    with p the sigmoid of the logits and G the mask, per image, then averaged over the batch.

    Args:
        logits: `(B, 1, H, W)`.
        mask: G, `(B, 1, H, W)`, in [0, 1].
        window_size: odd side of the window, in pixels; 31 in the source, for 352 × 352 images.

    Returns:
        Scalar, in the dtype of ``logits``.

    Raises:
        ValueError: the shapes differ.

    Source: Wei et al., "F3Net: Fusion, Feedback and Focus for Salient Object Detection", AAAI 2020,
    pixel position aware loss.

    >>> import torch
    >>> weighted_bce_iou(torch.zeros(2, 1, 64, 64), torch.ones(2, 1, 64, 64)).shape
    torch.Size([])
    """
    if logits.shape != mask.shape:
        raise UserError(
            f"logits are {tuple(logits.shape)} and mask is {tuple(mask.shape)}, "
            "expected equal shapes"
        )
    pixels = (-3, -2, -1)
    local_mean = F.avg_pool2d(mask, window_size, stride=1, padding=window_size // 2)
    weight = 1 + 5 * (local_mean - mask).abs()
    bce = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    weighted_bce = (weight * bce).sum(pixels) / weight.sum(pixels)
    probability = logits.sigmoid()
    intersection = (weight * probability * mask).sum(pixels)
    union = (weight * (probability + mask - probability * mask)).sum(pixels)
    weighted_iou = 1 - (1 + intersection) / (1 + union)
    return (weighted_bce + weighted_iou).mean()


def bce(logits: Tensor, mask: Tensor) -> Tensor:
    """Average the binary cross-entropy over all pixels of `(B, 1, H, W)` logits and mask.

    >>> import torch
    >>> bce(torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8))
    tensor(0.6931)
    """
    return F.binary_cross_entropy_with_logits(logits, mask)


LOSSES = {"weighted_bce_iou": weighted_bce_iou, "bce": bce}
"""Losses by the name that an experiment gives them."""
