"""Products with a softmax affinity by torch's fused attention, which differentiates them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, flex_attention

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import only

MIN_WIDTH = 16
"""Narrowest head that torch's kernels serve; narrower ones get columns of zeros."""
MAX_COLUMNS = 128
"""The most columns of a product that one call computes: more do not fit beside a wide head."""
MAX_COMPILATIONS = 64
"""Compilations per function before torch refuses more: dtypes × head widths × what has gradients.
The number of tokens, images and heads is no part of it."""

FIRST_CAPABILITY = 8.0
"""Oldest NVIDIA GPUs on which torch tests FlexAttention."""


@torch.compiler.assume_constant_result  # torch's compiler need not look into CUDA
def is_too_old(device: torch.device) -> bool:
    """Tell whether torch does not claim that FlexAttention works on such a GPU."""
    if torch.version.hip is not None:
        return False
    major, minor = torch.cuda.get_device_capability(device)
    return major + minor / 10 < FIRST_CAPABILITY


class FlexAffinity(RowBlockAffinity):
    """S = softmax(Q Kᵀ / √D) of one modality, by :func:`flex_attention` of torch.

    ``products`` can be differentiated by autograd, with respect to X, Y, Q and K, so that a
    recurrence written with it needs no backward pass of its own. Other than in
    :class:`RowBlockAffinity`, Q and K come as they are, in half precision too, and Q is not divided
    by √D. States and products are float32 at least; what enters a matrix product is rounded to the
    dtype of Q.

    Args:
        query: Q, `(G, N, D)`; G runs over images and heads.
        key: K, `(G, N, D)`.
        log_sum_exp: row log-sum-exp of Q Kᵀ / √D, `(G, N)`; computed in the first pass if not
            given.
    """

    def __init__(self, query: Tensor, key: Tensor, log_sum_exp: Tensor | None = None) -> None:
        # A list, because torch's compiler (2.14) forgets an attribute that is set after a call of
        # flex_attention, if the object is older than the call.
        self._known = [] if log_sum_exp is None else [log_sum_exp]
        self.query = _own(query)
        self.key = _own(key)

    @property
    def log_sum_exp(self) -> Tensor | None:  # type: ignore[override]
        """Row log-sum-exp of Q Kᵀ / √D, once there was a pass."""
        return self._known[0] if self._known else None

    def products(
        self, right: Tensor | None = None, left: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Compute S X and Sᵀ Y, each by a call per ``MAX_COLUMNS`` columns."""
        out_right = None if right is None else self._read(right)
        if left is None:
            return out_right, None
        if not self._known:
            self._read(left[..., :1])
        tensors = self.query, self.key
        chunks = left.split(MAX_COLUMNS, -1)
        return out_right, _join([self._call(move, *tensors, x, self._known[0]) for x in chunks])

    def _read(self, right: Tensor) -> Tensor:
        chunks = [self._call(read, self.query, self.key, x) for x in right.split(MAX_COLUMNS, -1)]
        if not self._known:
            self._known.append(chunks[0][1])
        return _join([out for out, _ in chunks])

    def _call(self, function: Callable[..., Any], *tensors: Tensor) -> Any:
        """Call a function compiled, unless what is being compiled holds it already."""
        if torch.compiler.is_compiling():
            return function(*tensors)
        tensors = tuple(map(_own, tensors))
        for tensor in tensors:
            torch._dynamo.maybe_mark_dynamic(tensor, (0, 1))
            if tensor.dim() == 3:
                torch._dynamo.mark_static(tensor, 2)
        with (
            torch._dynamo.config.patch(recompile_limit=MAX_COMPILATIONS),
            # Otherwise a graph that is kept for a second backward pass is refused.
            torch._functorch.config.patch(donated_buffer=False),
        ):
            return compiled(function, self.query.device.type)(*tensors)


def read(query: Tensor, key: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Compute S X and the row log-sum-exp of Q Kᵀ / √D.

    Args:
        query: Q, `(G, N, D)`.
        key: K, `(G, N, D)`.
        values: X, `(G, N, E)`, at least float32.

    Returns:
        S X, `(G, N, E)`, and the log-sum-exp, `(G, N)`.
    """
    return _attend(query, key, values, None)


def move(query: Tensor, key: Tensor, values: Tensor, log_sum_exp: Tensor) -> Tensor:
    """Compute Sᵀ X from the row log-sum-exp of S.

    Keys take the place of queries. With the row log-sum-exp subtracted, a softmax over the rows of
    S divides column j by Σ_i S_ij, whose logarithm is the log-sum-exp of that softmax:

        Sᵀ X = exp(lse') ∘ softmax(K Qᵀ / √D − lse) X

    The gradient of lse_i is −X_i · (S G)_i, G being that of Sᵀ X, and S G is that of X. So X times
    exp(0), with the gradient of −lse, brings it about: no column of the kernel has to be added up
    for it, which would take atomic additions.
    """
    known = log_sum_exp.detach()

    def subtract(score: Tensor, image: Tensor, _: Tensor, __: Tensor, row: Tensor) -> Tensor:
        return score - known[image, row]

    values = values * (known - log_sum_exp).exp().unsqueeze(-1)
    out, column_sum = _attend(key, query, values, subtract)
    return out * column_sum.exp().unsqueeze(-1)


def _attend(
    query: Tensor, key: Tensor, values: Tensor, score_mod: Callable[..., Tensor] | None
) -> tuple[Tensor, Tensor]:
    width, columns = query.shape[-1], values.shape[-1]
    dtype, size = values.dtype, None
    if query.dtype == torch.float16:
        # A column of S may collect N values, more than float16 can hold.
        size = values.detach().abs().amax((-2, -1), keepdim=True).clamp(min=1)
        values = values / size
    out, aux = flex_attention(
        _as_head(query, width),
        _as_head(key, width),
        _as_head(values.to(query.dtype), columns),
        score_mod=score_mod,
        scale=width**-0.5,
        return_aux=AuxRequest(lse=True),
    )
    out = out.squeeze(1)[..., :columns].to(dtype)
    return (out if size is None else out * size), only(aux.lse).squeeze(1)


def _as_head(tensor: Tensor, width: int) -> Tensor:
    return F.pad(tensor, (0, max(0, MIN_WIDTH - width))).unsqueeze(1)


@cache
def compiled(function: Callable[..., Any], device: str) -> Callable[..., Any]:
    """Compile a function once per process, with no way back to eager mode, which would form S.

    torch's compiler has no log-sum-exp on a CPU, where the function is traced alone and forms S.
    """
    backend = "eager" if device == "cpu" else "inductor"
    return torch.compile(function, backend=backend, fullgraph=True)


def _own(tensor: Tensor) -> Tensor:
    """Copy a view, with which the sizes of all that it views would be compiled in."""
    return tensor.clone() if not torch.compiler.is_compiling() and tensor._is_view() else tensor


def _join(chunks: list[Tensor]) -> Tensor:
    return chunks[0] if len(chunks) == 1 else torch.cat(chunks, -1)
