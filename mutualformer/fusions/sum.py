"""Self-attention in each modality, then a sum."""

from torch import Tensor, nn

from mutualformer.fusions.base import MixingFusion
from mutualformer.fusions.single import SingleModalityMixing


class SumMixing(nn.Module):
    """Add the two modalities after self-attention in each.

    Args:
        dim: token width C.
        options: of :class:`mutualformer.fusions.single.SingleModalityMixing`, for either modality.
    """

    def __init__(self, dim: int, **options: float) -> None:
        super().__init__()
        self.rgb = SingleModalityMixing(dim, "rgb", **options)
        self.depth = SingleModalityMixing(dim, "depth", **options)

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        streams = (tokens_rgb, tokens_depth, spatial_size)
        return self.rgb(*streams) + self.depth(*streams)


class Sum(MixingFusion):
    """Add the modalities after self-attention in each: no token sees the other modality.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        qkv_bias: whether the projections to Q, K and V have a bias.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: C is not a multiple of H, or an option is outside its range.

    >>> import torch
    >>> Sum(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
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
        mixing = SumMixing(
            dim, num_heads=num_heads, qkv_bias=qkv_bias, dropout=dropout, drop_path=drop_path
        )
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, dropout=dropout, drop_path=drop_path)
