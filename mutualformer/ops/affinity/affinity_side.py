"""The normalised affinity Ŝ of one modality, as products, and what its gradient does to Q and K."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import Pair, accumulation_dtype, only, row_dot


class AffinitySide:
    """Ŝ of one modality: the softmax affinity S, scaled on both sides if it is symmetric.

        Ŝ = a S a⁻¹,   a = exp(½ lse)      ("symmetric": Ŝ_ij = exp(s_ij − ½ lse_i − ½ lse_j))

    Its gradient dŜ = Σ A Bᵀ is collected factor by factor and never formed. With δ the row sums of
    Ŝ ∘ dŜ (half the sum of its row and column sums if Ŝ is symmetric),

        dlogits = Ŝ ∘ dŜ − δ ∘ S.

    Args:
        affinity: S.
        symmetric: whether Ŝ is the symmetric one.
    """

    def __init__(self, affinity: RowBlockAffinity, symmetric: bool) -> None:
        self.affinity = affinity
        self.scale: Tensor | None = None
        dtype = accumulation_dtype(affinity.query.dtype)
        if symmetric:
            if affinity.log_sum_exp is None:
                affinity.products(right=torch.ones_like(affinity.query[..., :1], dtype=dtype))
            log_sum_exp = only(affinity.log_sum_exp)
            # A common factor cancels between the two sides; without it a may overflow.
            centre = 0.5 * (log_sum_exp.amax(-1, True) + log_sum_exp.amin(-1, True)).detach()
            self.scale = (0.5 * (log_sum_exp - centre)).exp().unsqueeze(-1)
        self.grad_query = torch.zeros_like(affinity.query, dtype=dtype)
        self.grad_key = torch.zeros_like(affinity.key, dtype=dtype)
        self._left_factors: Pair = []
        self._right_factors: Pair = []
        self._delta: Tensor | None = None

    def products(
        self, right: Sequence[Tensor] = (), left: Sequence[Tensor] = ()
    ) -> tuple[Pair, Pair]:
        """Return Ŝ X for every X of ``right`` and Ŝᵀ Y for every Y of ``left``, in one pass."""
        out_right, out_left = self.affinity.products(
            _join(self._divide(right)), _join(self._multiply(left))
        )
        return (
            self._multiply(_split(out_right, len(right))),
            self._divide(_split(out_left, len(left))),
        )

    def add(self, left: Tensor, right: Tensor, read: Tensor, moved: Tensor) -> None:
        """Add A Bᵀ to dŜ.

        Args:
            left: A, `(G, N, D)`.
            right: B, `(G, N, D)`.
            read: Ŝ B.
            moved: Ŝᵀ A.
        """
        delta = row_dot(left, read)
        if self.scale is not None:
            delta = 0.5 * (delta + row_dot(right, moved))
        self._append(self._multiply([left])[0], self._divide([right])[0], delta)

    def add_to_softmax(self, left: Tensor, right: Tensor, read: Tensor) -> None:
        """Add A Bᵀ to the gradient of the softmax S itself; ``read`` is S B."""
        self._append(left, right, row_dot(left, read))

    def flush(self, left: Tensor | None = None) -> Tensor | None:
        """Turn what was collected into gradients of Q and K and forget it; returns Sᵀ ``left``."""
        grad_query, grad_key, _, out_left = self.affinity.gradients(
            torch.cat(self._left_factors, -1),
            torch.cat(self._right_factors, -1),
            only(self._delta),
            left=left,
        )
        self.grad_query += grad_query
        self.grad_key += grad_key
        self._left_factors, self._right_factors, self._delta = [], [], None
        return out_left

    def _append(self, left: Tensor, right: Tensor, delta: Tensor) -> None:
        self._left_factors.append(left)
        self._right_factors.append(right)
        self._delta = delta if self._delta is None else self._delta + delta

    def _multiply(self, tensors: Sequence[Tensor]) -> Pair:
        return list(tensors) if self.scale is None else [self.scale * x for x in tensors]

    def _divide(self, tensors: Sequence[Tensor]) -> Pair:
        return list(tensors) if self.scale is None else [x / self.scale for x in tensors]


def _join(tensors: Pair) -> Tensor | None:
    return torch.cat(tensors, dim=-1) if tensors else None


def _split(tensor: Tensor | None, count: int) -> Pair:
    return [] if tensor is None else list(tensor.chunk(count, dim=-1))
