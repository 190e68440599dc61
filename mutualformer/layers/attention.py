"""Projections to heads, self-attention, and attention across two modalities by cross-diffusion."""

from dataclasses import asdict, replace

import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer.check_options import check_heads
from mutualformer.errors import UserError
from mutualformer.ops.cross_diffusion.cross_diffusion import CrossDiffusionOutput, diffuse_across
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, QueryKeyValue


def split_heads(values: Tensor, num_heads: int) -> Tensor:
    """Split the features of `(B, N, C)` into heads, `(B, H, N, D)`."""
    return values.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(values: Tensor) -> Tensor:
    """Join the heads of `(B, H, N, D)` to `(B, N, C)`."""
    return values.transpose(1, 2).flatten(2)


class QueryKeyValueProjection(nn.Module):
    """Project tokens to queries, keys and values, split into heads.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        bias: whether the projection has a bias.

    Raises:
        ValueError: C is not a multiple of H.

    >>> import torch
    >>> QueryKeyValueProjection(32, 4)(torch.randn(2, 49, 32)).query.shape
    torch.Size([2, 4, 49, 8])
    """

    def __init__(self, dim: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        if not isinstance(bias, bool):
            raise UserError(f"qkv_bias is {bias!r}, expected true or false")
        self.num_heads = num_heads
        self.projection = nn.Linear(dim, 3 * dim, bias=bias)

    def forward(self, tokens: Tensor) -> QueryKeyValue:
        """Map `(B, N, C)` to Q, K, V of `(B, H, N, D)` with D = C / H."""
        packed = self.projection(tokens).unflatten(-1, (3, self.num_heads, -1))  # B N 3 H D
        return QueryKeyValue(*packed.permute(2, 0, 3, 1, 4).unbind(0))


class SelfAttention(nn.Module):
    """Attend within one modality: M = softmax(Q Kᵀ / √D) V, `(B, N, C)` to `(B, N, C)`.

    >>> import torch
    >>> SelfAttention(32, 4)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int, num_heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.qkv = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(B, N, C)` to `(B, N, C)`."""
        return merge_heads(F.scaled_dot_product_attention(*self.qkv(tokens)))


class CrossDiffusionAttention(nn.Module):
    """Attend within and between two modalities; :func:`mutualformer.cross_diffusion` with weights.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        options: of the cross-diffusion; its dropout acts in training only.
        qkv_bias: whether the projections to Q, K and V have a bias.

    Raises:
        ValueError: C is not a multiple of H.

    >>> import torch
    >>> layer = CrossDiffusionAttention(32, 4, CrossDiffusionOptions(epsilon=0.3))
    >>> layer(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).rgb_from_depth.shape
    torch.Size([2, 49, 32])
    """

    def __init__(
        self, dim: int, num_heads: int, options: CrossDiffusionOptions, *, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        self.options = options
        self.qkv_rgb = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.qkv_depth = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)

    def forward(self, tokens_rgb: Tensor, tokens_depth: Tensor) -> CrossDiffusionOutput:
        """Map two token streams `(B, N, C)` to M_r, M_d, M_rd, M_dr, each `(B, N, C)`."""
        options = self.options if self.training else replace(self.options, dropout_p=0.0)
        attended = diffuse_across(self.qkv_rgb(tokens_rgb), self.qkv_depth(tokens_depth), options)
        return CrossDiffusionOutput(*map(merge_heads, attended))

    def extra_repr(self) -> str:
        """Show the ablation axes where the module is printed."""
        return ", ".join(f"{name}={value!r}" for name, value in asdict(self.options).items())
