"""Losses for saliency maps and for classes of pixels."""

import torch.nn.functional as F
from torch import Tensor

from mutualformer.errors import UserError
from mutualformer.ignored_label import IGNORED

OHEM_LEAST_SHARE = 1 / 16
"""Share of the labelled pixels that hard example mining keeps at least."""


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


def segmentation_loss(
    logits: Tensor,
    label: Tensor,
    class_weights: Tensor | None = None,
    ohem_threshold: float | None = None,
) -> Tensor:
    """Average the cross-entropy over the labelled pixels, or over the hard ones among them.

        loss = Σ w_y (− log p_y) / Σ w_y

    over the pixels whose label y is not 255. With a threshold, only over those whose probability
    p_y lies below it, and at least over the sixteenth with the smallest p_y (online hard example
    mining). Where no pixel is labelled, the loss is 0 with a gradient of 0, and not 0 / 0.

    Args:
        logits: `(B, K, H, W)`.
        label: `(B, H, W)`, int64 in [0, K), or 255 where a pixel is not to count.
        class_weights: w, `(K,)`; equal weights by default.
        ohem_threshold: largest probability of the right class that still counts as hard.

    Returns:
        Scalar, float32.

    Hard example mining as it is usual for segmentation; the share is an assumption.

    >>> import torch
    >>> segmentation_loss(torch.zeros(1, 4, 8, 8), torch.full((1, 8, 8), 255))
    tensor(0.)
    """
    logits = logits.float()
    each = F.cross_entropy(
        logits, label, class_weights, ignore_index=IGNORED, reduction="none"
    ).flatten()
    counted = (label != IGNORED).flatten()
    if not counted.any():
        return 0.0 * logits.sum()
    labels = label.flatten()[counted]
    each = each[counted]
    weights = each.new_ones(len(each)) if class_weights is None else class_weights.to(each)[labels]
    if ohem_threshold is not None:
        probability = (-each.detach() / weights.clamp(min=1e-12)).exp()
        least = max(1, int(OHEM_LEAST_SHARE * len(each)))
        limit = probability.kthvalue(least).values.clamp(min=ohem_threshold)
        is_hard = probability <= limit
        each, weights = each[is_hard], weights[is_hard]
    # Classes of weight 0 may be all there is.
    return each.sum() / weights.sum().clamp(min=1e-12)


LOSSES = {"weighted_bce_iou": weighted_bce_iou, "bce": bce}
"""Losses of saliency by the name that an experiment gives them."""
