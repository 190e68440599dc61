"""Self-attention within modalities: one of them alone, the other unread."""

from typing import Any

from torch import Tensor, nn

from mutualformer.fusions.base import MixingFusion
from mutualformer.layers import BranchDropout, SelfAttention


class SingleModalityMixing(nn.Module):
    """Attend within one modality, ``"rgb"`` or ``"depth"``: P' = X_m + proj(SA(LN(X_m)))."""

    def __init__(
        self, dim: int, modality: str, *, num_heads: int, qkv_bias: bool, **drop: float
    ) -> None:
        super().__init__()
        self.modality = modality
        self.norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads, qkv_bias=qkv_bias)
        self.projection = nn.Linear(dim, dim)
        self.drop = BranchDropout(**drop)

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_m `(B, N, C)` to P' `(B, N, C)`; the other stream may be ``None``."""
        tokens = tokens_rgb if self.modality == "rgb" else tokens_depth
        return tokens + self.drop(self.projection(self.attention(self.norm(tokens))))


class SeparateFusion(MixingFusion):
    """Attend within each of the modalities, add them, then feed forward.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        qkv_bias: whether the projections to Q, K and V have a bias.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: C is not a multiple of H, or an option is outside its range.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        drop = {"dropout": dropout, "drop_path": drop_path}
        mixing = self.make_mixing(dim, num_heads=num_heads, qkv_bias=qkv_bias, **drop)
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, **drop)

    def make_mixing(self, dim: int, **options: Any) -> nn.Module:
        """Build the mixing step."""
        return SingleModalityMixing(dim, self.modalities[0], **options)


class RGBOnly(SeparateFusion):
    """Attend within RGB and do not read depth; options of `SeparateFusion`.

    >>> import torch
    >>> RGBOnly(32, num_heads=4)(torch.randn(2, 49, 32), None).shape
    torch.Size([2, 49, 32])
    """

    modalities = ("rgb",)


class DepthOnly(SeparateFusion):
    """Attend within depth and do not read RGB; options of `SeparateFusion`.

    >>> import torch
    >>> DepthOnly(32, num_heads=4)(None, torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    modalities = ("depth",)
