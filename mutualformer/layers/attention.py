"""Projections to heads, self-attention, and attention across two modalities by cross-diffusion."""

import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.ops.cross_diffusion.cross_diffusion import (
    Affinity,
    Backend,
    CrossDiffusionOutput,
    InitialAffinity,
    NumIterations,
    check_cross_diffusion_options,
    cross_diffusion,
)


class QueryKeyValue(nn.Module):
    """Project tokens to queries, keys and values, split into heads.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        bias: whether the projection has a bias.

    Raises:
        ValueError: C is not a multiple of H.

    >>> import torch
    >>> [t.shape for t in QueryKeyValue(32, 4)(torch.randn(2, 49, 32))][0]
    torch.Size([2, 4, 49, 8])
    """

    def __init__(self, dim: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads:
            raise UserError(
                f"dim is {dim} and num_heads is {num_heads}, "
                "expected a num_heads >= 1 that divides dim"
            )
        self.num_heads = num_heads
        self.projection = nn.Linear(dim, 3 * dim, bias=bias)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map `(B, N, C)` to Q, K, V of `(B, H, N, D)` with D = C / H."""
        packed = self.projection(tokens).unflatten(-1, (3, self.num_heads, -1))  # B N 3 H D
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value


def merge_heads(values: Tensor) -> Tensor:
    """Join the heads of `(B, H, N, D)` to `(B, N, C)`."""
    return values.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attend within one modality: M = softmax(Q Kᵀ / √D) V, `(B, N, C)` to `(B, N, C)`.

    >>> import torch
    >>> SelfAttention(32, 4)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.qkv = QueryKeyValue(dim, num_heads, bias=qkv_bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(B, N, C)` to `(B, N, C)`."""
        return merge_heads(F.scaled_dot_product_attention(*self.qkv(tokens)))


class CrossDiffusionAttention(nn.Module):
    """Attend within and between two modalities; :func:`mutualformer.cross_diffusion` with weights.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        epsilon: as in ``cross_diffusion``.
        num_iterations: as in ``cross_diffusion``.
        initial_affinity: as in ``cross_diffusion``.
        affinity: as in ``cross_diffusion``.
        attention_dropout: its ``dropout_p``, in training.
        backend: as in ``cross_diffusion``.
        qkv_bias: whether the projections to Q, K and V have a bias.

    Raises:
        ValueError: C is not a multiple of H, or an option is outside its range.

    >>> import torch
    >>> layer = CrossDiffusionAttention(32, 4, epsilon=0.6, num_iterations=1)
    >>> layer(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).rgb_from_depth.shape
    torch.Size([2, 49, 32])
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        epsilon: float,
        num_iterations: NumIterations,
        initial_affinity: InitialAffinity = "identity",
        affinity: Affinity = "softmax",
        attention_dropout: float = 0.0,
        qkv_bias: bool = True,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        check_cross_diffusion_options(
            epsilon, num_iterations, initial_affinity, affinity, backend, attention_dropout
        )
        self.epsilon = epsilon
        self.num_iterations = num_iterations
        self.initial_affinity: InitialAffinity = initial_affinity
        self.affinity: Affinity = affinity
        self.attention_dropout = attention_dropout
        self.backend: Backend = backend
        self.qkv_rgb = QueryKeyValue(dim, num_heads, bias=qkv_bias)
        self.qkv_depth = QueryKeyValue(dim, num_heads, bias=qkv_bias)

    def forward(self, tokens_rgb: Tensor, tokens_depth: Tensor) -> CrossDiffusionOutput:
        """Map two token streams `(B, N, C)` to M_r, M_d, M_rd, M_dr, each `(B, N, C)`."""
        attended = cross_diffusion(
            *self.qkv_rgb(tokens_rgb),
            *self.qkv_depth(tokens_depth),
            epsilon=self.epsilon,
            num_iterations=self.num_iterations,
            initial_affinity=self.initial_affinity,
            affinity=self.affinity,
            dropout_p=self.attention_dropout if self.training else 0.0,
            backend=self.backend,
        )
        return CrossDiffusionOutput(*map(merge_heads, attended))

    def extra_repr(self) -> str:
        """Show the ablation axes where the module is printed."""
        return (
            f"epsilon={self.epsilon}, num_iterations={self.num_iterations}, "
            f"initial_affinity={self.initial_affinity!r}, affinity={self.affinity!r}"
        )
