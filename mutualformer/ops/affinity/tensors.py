"""Small helpers that every form of multiplying with an affinity shares."""

import torch
from torch import Tensor

Pair = list[Tensor]
"""One tensor per modality, 0 = RGB and 1 = depth, so that ``1 - m`` is the other modality."""


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that sums are kept in: float32 for half precision, else the dtype itself."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def only(tensor: Tensor | None) -> Tensor:
    """Assert that an optional product was asked for."""
    assert tensor is not None
    return tensor


def row_dot(one: Tensor, other: Tensor) -> Tensor:
    """Dot products of corresponding tokens, `(G, N, D)` twice to `(G, N)`."""
    return torch.linalg.vecdot(one, other)
