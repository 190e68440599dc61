"""CAVER: attention over patches and over channels, mixed, within modalities and across them."""

import torch
from torch import Tensor, nn

from mutualformer.fusions.base import Fusion
from mutualformer.layers.aggregation import token_grid
from mutualformer.layers.token_batch_norm import TokenBatchNorm
from mutualformer.layers.view_mixed_attention import ViewMixedAttention

Grid = tuple[int, int] | None


class ConvFeedForward(nn.Module):
    """Convolve twice by 3×3, each with normalisation and ReLU, then by 1×1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(dim, dim, 3, padding=1, bias=False) for _ in range(2)
        )
        self.norms = nn.ModuleList(TokenBatchNorm(dim) for _ in range(2))
        self.last = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor, spatial_size: Grid) -> Tensor:
        """Map `(B, N, C)` to the same shape."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            grid = convolution(token_grid(tokens, spatial_size, "view-mixed attention"))
            tokens = norm(grid.flatten(2).mT).relu()
        return self.last(tokens)


class SelfUnit(nn.Module):
    """Attend within one stream, then feed forward, each beside a residual path."""

    def __init__(self, dim: int, num_heads: int, patch_size: int) -> None:
        super().__init__()
        self.norm_attention = TokenBatchNorm(dim)
        self.attention = ViewMixedAttention(dim, num_heads, patch_size)
        self.norm = TokenBatchNorm(dim)
        self.feed_forward = ConvFeedForward(dim)

    def forward(self, tokens: Tensor, spatial_size: Grid) -> Tensor:
        """Map `(B, N, C)` to the same shape."""
        normed = self.norm_attention(tokens)
        tokens = tokens + self.attention(normed, normed, spatial_size)
        return tokens + self.feed_forward(self.norm(tokens), spatial_size)


class CrossUnit(nn.Module):
    """Attend across the modalities, join their features, then feed forward."""

    def __init__(self, dim: int, num_heads: int, patch_size: int) -> None:
        super().__init__()
        self.norm_rgb, self.norm_depth = TokenBatchNorm(dim), TokenBatchNorm(dim)
        self.rgb_from_depth = ViewMixedAttention(dim, num_heads, patch_size)
        self.depth_from_rgb = ViewMixedAttention(dim, num_heads, patch_size)
        self.norm = TokenBatchNorm(2 * dim)
        self.feed_forward = ConvFeedForward(2 * dim)

    def forward(self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: Grid) -> Tensor:
        """Map X_r and X_d, `(B, N, C)`, to `(B, N, 2C)`."""
        rgb, depth = self.norm_rgb(tokens_rgb), self.norm_depth(tokens_depth)
        crossed_rgb = tokens_rgb + self.rgb_from_depth(rgb, depth, spatial_size)
        crossed_depth = tokens_depth + self.depth_from_rgb(depth, rgb, spatial_size)
        joined = torch.cat((crossed_rgb, crossed_depth), dim=-1)
        return joined + self.feed_forward(self.norm(joined), spatial_size)


class ViewMixed(Fusion):
    """Fuse after CAVER: without the coarser level's result, which the decoder brings in here.

    A(q, kv) is view-mixed attention, over patches and over channels, and F two 3×3 convolutions,
    each with BN and ReLU, then a 1×1 one; a unit within a stream is

        U(X) = Y + F(BN(Y)),   Y = X + A(BN(X), BN(X))

    and between the modalities, with X_m = U_m of what is given:

        X'_r = X_r + A(BN(X_r), BN(X_d)),   X'_d = X_d + A(BN(X_d), BN(X_r))
        Z = X'_r ‖ X'_d,   P = W U(Z + F(BN(Z)))

    Args:
        dim: token width C.
        num_heads: heads of the attention; must divide C. The source has 2.
        patch_size: p, in tokens. The source has 8.

    Raises:
        ValueError: C is not a multiple of the heads, the patch is below 1; in the forward pass,
            ``spatial_size`` is missing.

    Cost: 256C² + 103C + 10 parameters, 92C² of them across; O((N / p²)² p² C + NC²).

    Source: Pang et al., "CAVER", arXiv 2112.02363; read in the authors' code, lartpang/CAVER (MIT),
    `method/caver.py`, whose formulas these are; the parameters of the unit across agree with a
    count by hand, and the paper itself was not read. What differs: the source brings features to
    C = 64 by a 3×3 and a 1×1 convolution, where this network has a 1×1 one; adds the coarser level
    before the last U; hands on all 2C features, of which W makes C here; and takes only grids that
    p divides.

    >>> ViewMixed(32)(torch.randn(2, 32, 5, 7), torch.randn(2, 32, 5, 7)).shape
    torch.Size([2, 32, 5, 7])
    """

    def __init__(self, dim: int, *, num_heads: int = 2, patch_size: int = 8) -> None:
        super().__init__()
        self.within_rgb = SelfUnit(dim, num_heads, patch_size)
        self.within_depth = SelfUnit(dim, num_heads, patch_size)
        self.across = CrossUnit(dim, num_heads, patch_size)
        self.within_both = SelfUnit(2 * dim, num_heads, patch_size)
        self.projection = nn.Linear(2 * dim, dim)

    def fuse(self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: Grid) -> Tensor:
        """Map X_r and X_d, `(B, N, C)`, to P `(B, N, C)`."""
        rgb = self.within_rgb(tokens_rgb, spatial_size)
        depth = self.within_depth(tokens_depth, spatial_size)
        both = self.within_both(self.across(rgb, depth, spatial_size), spatial_size)
        return self.projection(both)
