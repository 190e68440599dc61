"""Products with a softmax affinity, and its gradients, by GPU kernels that never store a tile."""

import math
import os
from typing import Any

import torch
from torch import Tensor

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity

MAX_CHUNK = 128
"""Columns of a product that one program accumulates; wider ones are divided among programs."""

CONTIGUOUS = torch.contiguous_format


def is_interpreted() -> bool:
    """Tell whether Triton interprets kernels, as the environment asks it to."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "yes", "on", "y")


class TritonAffinity(RowBlockAffinity):
    """S = softmax(Q Kᵀ / √D) of one modality, recomputed tile by tile inside GPU kernels.

    The methods are those of :class:`RowBlockAffinity`, with
    these differences:

    - Q and K come as they are, in half precision or float32, and Q is *not* divided by √D: the
      logits are, in float32. (The rounded quotient would be another query.) The gradient that
      :meth:`gradients` returns is nevertheless that of Q / √D, as there.
    - States may be of any dtype, products and gradients are float32. Sums are float32. What enters
      a matrix product is rounded to bfloat16 if Q is bfloat16. If Q is float16, it enters as
      TF32, which has float16's precision but not its range: Sᵀ Y may be N times as large as Y. If
      Q is float32, three TF32 products make up for one in float32.

    Args:
        query: Q, `(G, N, D)` with D <= 128; float32, float16 or bfloat16.
        key: K, likewise.
        log_sum_exp: row log-sum-exp of Q Kᵀ / √D, `(G, N)`; computed in the first pass if not
            given.
    """

    def __init__(self, query: Tensor, key: Tensor, log_sum_exp: Tensor | None = None) -> None:
        super().__init__(query.contiguous(), key.contiguous(), log_sum_exp)
        self.state_dtype = torch.bfloat16 if query.dtype == torch.bfloat16 else torch.float32
        width = query.shape[-1]
        self.scale = math.log2(math.e) / math.sqrt(width)
        self.constants: dict[str, Any] = {
            "WIDTH": width,
            "PADDED_WIDTH": _padded(width),
            "PRECISION": "tf32x3" if query.dtype == torch.float32 else "tf32",
        }
        if torch.version.hip is not None:
            self.constants["PRECISION"] = "ieee"  # TF32 is NVIDIA's

    def products(
        self, right: Tensor | None = None, left: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Compute S X and Sᵀ Y, by a kernel each; the first pass of all is a product S X."""
        out_right = None if right is None else self._read(right)
        out_left = None if left is None else self._move(left)
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
        """Compute dQ, dK, S X and Sᵀ Y, by a kernel for each of the first three.

        Sᵀ Y shares the kernel of dK if it is at most ``MAX_CHUNK`` wide.
        """
        out_right = None if right is None else self._read(right)
        if right_weight is not None and out_right is not None:
            # Either gradient needs δ of all rows, so that it must be complete before.
            delta = delta + torch.linalg.vecdot(right_weight.float(), out_right)
        is_fused = left is not None and left.shape[-1] <= MAX_CHUNK
        out_left = None if left is None or is_fused else self._move(left)
        inputs = (
            self.query,
            self.key,
            self._known_log_sum_exp(),
            self._state(outer_left),
            self._state(outer_right),
            delta.float().contiguous(),
        )
        grad_query = torch.empty_like(self.query, dtype=torch.float32)
        grad_key = torch.empty_like(grad_query)
        rank = outer_left.shape[-1]
        chunk = min(64, _padded(min(rank, self.query.shape[-1])))
        constants = {"RANK": rank, "RANK_CHUNK": chunk}
        self._launch("query_gradient_kernel", (*inputs, grad_query), **constants)

        moved: tuple[Tensor | None, Tensor | None] = (None, None)
        constants |= {"HAS_LEFT": is_fused, "NUM_COLUMNS": 1, "COLUMN_CHUNK": 16}
        if left is not None and is_fused:
            out_left = torch.empty_like(left, dtype=torch.float32, memory_format=CONTIGUOUS)
            moved = (self._state(left), out_left)
            constants |= _columns(left)
        self._launch("key_gradient_kernel", (*inputs, grad_key, *moved), **constants)
        return grad_query, grad_key, out_right, out_left

    def _read(self, right: Tensor) -> Tensor:
        """Compute S X, and the log-sum-exp of S where it is not known yet."""
        is_first_pass = self.log_sum_exp is None
        if self.log_sum_exp is None:
            self.log_sum_exp = self.query.new_empty(self.query.shape[:2], dtype=torch.float32)
        out = torch.empty_like(right, dtype=torch.float32, memory_format=CONTIGUOUS)
        tensors = (self.query, self.key, self.log_sum_exp, self._state(right), out)
        columns = _columns(right)
        self._launch(
            "read_kernel", tensors, _num_chunks(right), IS_FIRST_PASS=is_first_pass, **columns
        )
        return out

    def _move(self, left: Tensor) -> Tensor:
        """Compute Sᵀ Y."""
        out = torch.empty_like(left, dtype=torch.float32, memory_format=CONTIGUOUS)
        tensors = (self.query, self.key, self._known_log_sum_exp(), self._state(left), out)
        self._launch("move_kernel", tensors, _num_chunks(left), **_columns(left))
        return out

    def _launch(
        self, kernel: str, tensors: tuple[Tensor | None, ...], num_chunks: int = 1, **constants: Any
    ) -> None:
        """Start a kernel by its name: nothing else imports Triton."""
        from mutualformer.unproven_triton import kernels
        from mutualformer.unproven_triton.launch import launch

        constants |= self.constants
        launch(getattr(kernels, kernel), tensors, self.scale, num_chunks, **constants)

    def _known_log_sum_exp(self) -> Tensor:
        """Return the log-sum-exp, after a pass of its own if there was none yet."""
        if self.log_sum_exp is None:
            self._read(self.query[..., :1])
        assert self.log_sum_exp is not None
        return self.log_sum_exp

    def _state(self, tensor: Tensor) -> Tensor:
        """Round a state to what enters matrix products.

        Once per launch: kernels load it many times, at half the traffic and without conversion.
        """
        return tensor.to(self.state_dtype).contiguous()


def _padded(width: int) -> int:
    """Return the next power of two that a matrix product accepts."""
    return max(16, 1 << (width - 1).bit_length())


def _columns(tensor: Tensor) -> dict[str, int]:
    """Return the constants that divide the columns of a product into chunks."""
    width = tensor.shape[-1]
    return {"NUM_COLUMNS": width, "COLUMN_CHUNK": min(MAX_CHUNK, _padded(width))}


def _num_chunks(tensor: Tensor) -> int:
    """Return the number of these chunks."""
    return -(-tensor.shape[-1] // MAX_CHUNK)
