"""The batch that every data module of this package yields."""

from collections.abc import Sequence
from typing import Any

import torch

Batch = dict[str, Any]

_KEYS_KEPT_AS_LISTS = ("name", "dataset", "original_size", "ground_truth")


def collate(items: Sequence[Batch]) -> Batch:
    """Collate items into a batch, keeping what differs in size between images in lists.

    Args:
        items: Dicts with the same keys: tensors `rgb` `(3, H, W)`, `depth` `(1, H, W)` and,
            where a ground truth exists, `mask` `(1, H, W)`, all float32; strings `name` and
            `dataset`; `original_size` as `(height, width)`; for evaluation `ground_truth`, a
            bool tensor `(1, H0, W0)` at its own size.

    Returns:
        A dict with the same keys: `rgb`, `depth` and `mask` stacked to `(B, C, H, W)`, the others
        as lists of length B.

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
