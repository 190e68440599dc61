"""Self-attention in each modality, then a sum."""

from typing import Any

from torch import Tensor, nn

from mutualformer.fusions.single import SeparateFusion, SingleModalityMixing


class SumMixing(nn.Module):
    """Add the two modalities after :class:`SingleModalityMixing` in each."""

    def __init__(self, dim: int, **options: Any) -> None:
        super().__init__()
        self.rgb = SingleModalityMixing(dim, "rgb", **options)
        self.depth = SingleModalityMixing(dim, "depth", **options)

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        streams = (tokens_rgb, tokens_depth, spatial_size)
        return self.rgb(*streams) + self.depth(*streams)


class Sum(SeparateFusion):
    """Add the modalities after self-attention in each: no token sees the other modality.

    >>> import torch
    >>> Sum(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def make_mixing(self, dim: int, **options: Any) -> nn.Module:
        """Build the mixing step."""
        return SumMixing(dim, **options)
