"""Products with a softmax affinity, and its gradients, from row blocks formed one at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

CPU_BLOCK = 2**20
"""Entries of a block of the affinity on a CPU: 4 MB in float32, measured best from N = 1936 on."""
GPU_BLOCK = 2**26
"""The same on a GPU, where few large products beat many small ones."""


class RowBlockAffinity:
    """S = softmax(Q Kᵀ) of one modality, recomputed row block by row block whenever it is needed.

    No tensor larger than one block × N is ever formed. Any other way of multiplying with S has the
    same methods: see :mod:`mutualformer.ops.affinity.flex_affinity`.

    Args:
        query: Q, `(G, N, D)`, divided by √D already; G runs over images and heads.
        key: K, `(G, N, D)`.
        log_sum_exp: row log-sum-exp of Q Kᵀ, `(G, N)`; computed in the first pass if not given.
    """

    def __init__(self, query: Tensor, key: Tensor, log_sum_exp: Tensor | None = None) -> None:
        self.query = query
        self.key = key
        self.log_sum_exp = log_sum_exp

    def products(
        self, right: Tensor | None = None, left: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Multiply in one pass.

        Args:
            right: X, `(G, N, E)` of any width E.
            left: Y, `(G, N, E')`.

        Returns:
            S X and Sᵀ Y, or ``None`` for what was not asked for.
        """
        out_right = None if right is None else torch.empty_like(right)
        out_left = None if left is None else torch.zeros_like(left)
        for heads, rows, block in self._blocks():
            if right is not None and out_right is not None:
                torch.bmm(block, right[heads], out=out_right[heads, rows])
            if left is not None and out_left is not None:
                out_left[heads].baddbmm_(block.mT, left[heads, rows])
        return out_right, out_left

    def gradients(
        self,
        outer_left: Tensor,
        outer_right: Tensor,
        delta: Tensor,
        right: Tensor | None = None,
        right_weight: Tensor | None = None,
        left: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Turn a low-rank gradient with respect to S into gradients of Q and K, in one pass.

            dS = A Bᵀ,   dlogits = S ∘ (dS − δ 1ᵀ),   dQ = dlogits K,   dK = dlogitsᵀ Q

        Args:
            outer_left: A, `(G, N, R)`, R being the rank of dS.
            outer_right: B, `(G, N, R)`.
            delta: δ, `(G, N)`, the row sums of S ∘ dS as far as they are known before the pass.
            right: X, `(G, N, E)`: a last part of B whose product with S is also wanted.
            right_weight: `(G, N, E)`: the part of A that belongs to ``right``; the pass adds the
                row sums of ``right_weight`` ∘ (S ``right``) to δ.
            left: Y, `(G, N, E')`.

        Returns:
            dQ, dK, S X and Sᵀ Y.
        """
        grad_query, grad_key = torch.empty_like(self.query), torch.zeros_like(self.key)
        out_right = None if right is None else torch.empty_like(right)
        out_left = None if left is None else torch.zeros_like(left)
        for heads, rows, block in self._blocks():
            row_sum = delta[heads, rows].unsqueeze(-1)
            if right is not None and right_weight is not None and out_right is not None:
                product = torch.bmm(block, right[heads], out=out_right[heads, rows])
                row_sum = row_sum + (right_weight[heads, rows] * product).sum(-1, keepdim=True)
            if left is not None and out_left is not None:
                out_left[heads].baddbmm_(block.mT, left[heads, rows])
            grad_logits = torch.bmm(outer_left[heads, rows], outer_right[heads].mT)
            grad_logits.sub_(row_sum).mul_(block)
            torch.bmm(grad_logits, self.key[heads], out=grad_query[heads, rows])
            grad_key[heads].baddbmm_(grad_logits.mT, self.query[heads, rows])
        return grad_query, grad_key, out_right, out_left

    def _blocks(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield slices of heads and rows, and S there, `(heads, rows, N)`."""
        num_heads, num_tokens = self.query.shape[:2]
        known = self.log_sum_exp
        log_sum_exp = self.query.new_empty(num_heads, num_tokens) if known is None else known
        self.log_sum_exp = log_sum_exp
        budget = CPU_BLOCK if self.query.device.type == "cpu" else GPU_BLOCK
        num_rows = min(num_tokens, max(1, budget // num_tokens))
        heads_per_block = max(1, budget // (num_rows * num_tokens))
        for first_head in range(0, num_heads, heads_per_block):
            heads = slice(first_head, first_head + heads_per_block)
            key = self.key[heads].mT
            for first_row in range(0, num_tokens, num_rows):
                rows = slice(first_row, first_row + num_rows)
                block = torch.bmm(self.query[heads, rows], key)
                if known is not None:
                    block.sub_(known[heads, rows].unsqueeze(-1)).exp_()
                else:
                    maximum = block.amax(-1, keepdim=True)
                    total = block.sub_(maximum).exp_().sum(-1, keepdim=True)
                    block.div_(total)
                    log_sum_exp[heads, rows] = (maximum + total.log()).squeeze(-1)
                yield heads, rows, block
