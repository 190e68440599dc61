"""The batch that every data module of this package yields."""

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.transforms.v2.functional import to_dtype

Batch = dict[str, Any]

_KEYS_KEPT_AS_LISTS = ("name", "dataset", "original_size", "ground_truth")


def collate(items: Sequence[Batch]) -> Batch:
    """Collate items into a batch, keeping what differs in size between images in lists.

    Args:
        items: dicts with the same keys: tensors `rgb` `(3, H, W)`, uint8 or float32 in [0, 1],
            `depth` `(1, H, W)`, float32, and, where a ground truth exists, `mask` `(1, H, W)`, bool
            or float32; strings `name` and `dataset`; `original_size` as `(height, width)`; for
            evaluation `ground_truth`, a bool tensor `(1, H0, W0)` at its own size. For segmentation
            there is a `label` `(H, W)` instead of a mask, and `ground_truth` `(H0, W0)`, uint8.

    Returns:
        A dict with the same keys: `rgb`, `depth` and `mask` stacked to `(B, C, H, W)`, the others
        as lists of length B. See `to_floats`.

    >>> item = dict(rgb=torch.zeros(3, 8, 8), depth=torch.zeros(1, 8, 8), name="a",
    ...             dataset="NLPR", original_size=(6, 9))
    >>> batch = collate([item, item])
    >>> batch["rgb"].shape, batch["original_size"]
    (torch.Size([2, 3, 8, 8]), [(6, 9), (6, 9)])
    """
    batch: Batch = {}
    for key in items[0]:
        values = [item[key] for item in items]
        batch[key] = values if key in _KEYS_KEPT_AS_LISTS else torch.stack(values)
    return batch


def to_floats(batch: Batch) -> Batch:
    """Make float32 in [0, 1] of what workers hand over, and the host to the GPU, in 8 bits.

    >>> batch = to_floats({"rgb": torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)})
    >>> batch["rgb"].max()
    tensor(1.)
    """
    return {
        key: to_dtype(value, torch.float32, scale=True) if key in ("rgb", "mask") else value
        for key, value in batch.items()
    }
