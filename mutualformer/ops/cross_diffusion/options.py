"""What the matrix-free forms of cross-diffusion share."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity

Pair = list[Tensor]
"""One tensor per modality, 0 = RGB and 1 = depth, so that ``1 - m`` is the other modality."""


class Options(NamedTuple):
    """What determines the operation, apart from its tensors; see ``cross_diffusion``."""

    epsilon: float
    num_iterations: int
    initial_affinity: str
    affinity: str
    make_affinity: Callable[..., RowBlockAffinity] = RowBlockAffinity

    @property
    def beta(self) -> float:
        """½ (1 − ε), the weight of either modality's affinity in (1 − ε) A."""
        return 0.5 * (1 - self.epsilon)

    def affinities(
        self, queries: Pair, keys: Pair, log_sum_exps: Pair | None = None
    ) -> list[RowBlockAffinity]:
        """Build S_r and S_d."""
        known: Sequence[Tensor | None] = log_sum_exps or [None, None]
        return [self.make_affinity(*x) for x in zip(queries, keys, known, strict=True)]


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
