"""Fusion by name: the MutualFormer block and the baselines it is judged against, one interface.

Every fusion maps two token streams `(B, N, C)` to one, with the same feed-forward half. To add one,
write its mixing step and name it in :data:`MIXINGS`.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mutualformer.errors import UserError
from mutualformer.fusions.fusion_block import FusionBlock
from mutualformer.fusions.mutualformer_block import MutualFormerBlock, Variant
from mutualformer.layers import ConcatResidual, QueryKeyValue, SelfAttention
from mutualformer.layers.attention import merge_heads
from mutualformer.ops.cross_diffusion.cross_diffusion import (
    Affinity,
    Backend,
    InitialAffinity,
    NumIterations,
)

FusionName = Literal["mutualformer", "concat", "cross_attention", "sum", "rgb", "depth"]


@dataclass(frozen=True)
class Fusion:
    """Choose a fusion and its options; the network builds one block per stage from it.

    Args:
        name: ``"mutualformer"``; ``"concat"``: joint self-attention over the 2N tokens;
            ``"cross_attention"``: softmax(Q_r K_dᵀ/√D) V_d and back; ``"sum"``: self-attention
            within each modality, then a sum; ``"rgb"`` or ``"depth"``: one modality alone.
        num_heads: number of heads H; must divide the token width.
        mlp_ratio: hidden width of the FFN as a multiple of the token width.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size: kernel of the convolutions that join streams, in tokens.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.
        epsilon, num_iterations, initial_affinity, affinity, attention_dropout, variant, backend:
            of ``"mutualformer"`` alone; see :class:`mutualformer.MutualFormerBlock`.

    Raises:
        ValueError: an unknown name, or an option outside its range.

    >>> block = Fusion("concat", num_heads=4).build(32)
    >>> block(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    name: FusionName = "mutualformer"
    num_heads: int = 8
    epsilon: float = 0.6
    num_iterations: NumIterations = 1
    initial_affinity: InitialAffinity = "identity"
    affinity: Affinity = "softmax"
    attention_dropout: float = 0.0
    variant: Variant = "paper"
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    kernel_size: int = 1
    dropout: float = 0.0
    drop_path: float = 0.0
    backend: Backend = "auto"

    def __post_init__(self) -> None:
        if self.name not in get_args(FusionName):
            names = ", ".join(get_args(FusionName))
            raise UserError(f"fusion is {self.name!r}, expected one of {names}")
        if self.num_iterations == math.inf:
            object.__setattr__(self, "num_iterations", "inf")  # which JSON can hold
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name} is {getattr(self, name)}, expected 0 <= {name} < 1")

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that this fusion reads: both, or ``("rgb",)`` or ``("depth",)``."""
        return (self.name,) if self.name in ("rgb", "depth") else ("rgb", "depth")

    def build(self, dim: int) -> FusionBlock:
        """Build the block for tokens of width ``dim``.

        Raises:
            ValueError: ``dim`` is not a multiple of the number of heads.
        """
        if self.name == "mutualformer":
            return MutualFormerBlock(
                dim,
                self.num_heads,
                epsilon=self.epsilon,
                num_iterations=self.num_iterations,
                initial_affinity=self.initial_affinity,
                affinity=self.affinity,
                attention_dropout=self.attention_dropout,
                variant=self.variant,
                mlp_ratio=self.mlp_ratio,
                qkv_bias=self.qkv_bias,
                kernel_size=self.kernel_size,
                dropout=self.dropout,
                drop_path=self.drop_path,
                backend=self.backend,
            )
        return FusionBlock(
            MIXINGS[self.name](dim, self),
            dim,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
            drop_path=self.drop_path,
        )


class _PairMixing(nn.Module):
    """Attend across the two modalities, then P' = g(H_r ‖ H_d) + h(X_r ‖ X_d)."""

    def __init__(self, dim: int, fusion: Fusion) -> None:
        super().__init__()
        self.norm_rgb = nn.LayerNorm(dim)
        self.norm_depth = nn.LayerNorm(dim)
        self.qkv_rgb = QueryKeyValue(dim, fusion.num_heads, bias=fusion.qkv_bias)
        self.qkv_depth = QueryKeyValue(dim, fusion.num_heads, bias=fusion.qkv_bias)
        self.join = ConcatResidual(
            dim,
            kernel_size=fusion.kernel_size,
            dropout=fusion.dropout,
            drop_path=fusion.drop_path,
        )

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended_rgb, attended_depth = self.attend(
            self.qkv_rgb(self.norm_rgb(tokens_rgb)), self.qkv_depth(self.norm_depth(tokens_depth))
        )
        return self.join(
            merge_heads(attended_rgb),
            merge_heads(attended_depth),
            tokens_rgb,
            tokens_depth,
            spatial_size,
        )

    def attend(
        self, rgb: tuple[Tensor, Tensor, Tensor], depth: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Map (Q, K, V) of each modality, `(B, H, N, D)`, to H_r and H_d of the same shape."""
        raise NotImplementedError


class ConcatMixing(_PairMixing):
    """Joint self-attention over the concatenated 2N tokens."""

    def attend(
        self, rgb: tuple[Tensor, Tensor, Tensor], depth: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Let every token attend to all 2N tokens."""
        query, key, value = (torch.cat(pair, dim=-2) for pair in zip(rgb, depth, strict=True))
        attended = F.scaled_dot_product_attention(query, key, value)
        attended_rgb, attended_depth = attended.chunk(2, dim=-2)
        return attended_rgb, attended_depth


class CrossAttentionMixing(_PairMixing):
    """Cross-attention: RGB queries compared with depth keys, and depth queries with RGB keys.

    For self-attention beside it, use ``mutualformer`` with T = 0 and initial affinity ``cross``.
    """

    def attend(
        self, rgb: tuple[Tensor, Tensor, Tensor], depth: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Let every token attend to the N tokens of the other modality."""
        query_rgb, key_rgb, value_rgb = rgb
        query_depth, key_depth, value_depth = depth
        return (
            F.scaled_dot_product_attention(query_rgb, key_depth, value_depth),
            F.scaled_dot_product_attention(query_depth, key_rgb, value_rgb),
        )


class SingleModalityMixing(nn.Module):
    """Self-attention in one modality, the other unread: P' = X_m + proj(SA(LN(X_m)))."""

    def __init__(self, dim: int, fusion: Fusion, modality: Literal["rgb", "depth"]) -> None:
        super().__init__()
        self.modality = modality
        self.norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, fusion.num_heads, qkv_bias=fusion.qkv_bias)
        self.projection = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(fusion.dropout)
        self.drop_path = StochasticDepth(fusion.drop_path, mode="row")

    def forward(
        self,
        tokens_rgb: Tensor | None,
        tokens_depth: Tensor | None,
        spatial_size: tuple[int, int] | None,
    ) -> Tensor:
        """Map X_m `(B, N, C)` to P' `(B, N, C)`; the other stream may be ``None``."""
        tokens = tokens_rgb if self.modality == "rgb" else tokens_depth
        if tokens is None:
            raise UserError(f"tokens_{self.modality} is None, expected (B, N, C)")
        attended = self.projection(self.attention(self.norm(tokens)))
        return tokens + self.drop_path(self.dropout(attended))


class SumMixing(nn.Module):
    """Add the two modalities after self-attention in each; no token sees the other modality."""

    def __init__(self, dim: int, fusion: Fusion) -> None:
        super().__init__()
        self.rgb = SingleModalityMixing(dim, fusion, "rgb")
        self.depth = SingleModalityMixing(dim, fusion, "depth")

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        return self.rgb(tokens_rgb, None, spatial_size) + self.depth(
            None, tokens_depth, spatial_size
        )


MIXINGS = {
    "concat": ConcatMixing,
    "cross_attention": CrossAttentionMixing,
    "sum": SumMixing,
    "rgb": lambda dim, fusion: SingleModalityMixing(dim, fusion, "rgb"),
    "depth": lambda dim, fusion: SingleModalityMixing(dim, fusion, "depth"),
}
"""Mixing step of each baseline, called with (dim, fusion)."""
