"""Attention over patches and over channels, mixed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer.check_options import check_heads, check_integer
from mutualformer.layers.aggregation import token_grid
from mutualformer.layers.attention import merge_heads, split_heads


class ViewMixedAttention(nn.Module):
    """Add attention over patches to attention over channels, for one stream that asks another.

        S = W_s softmax(Q Kᵀ / √(D p²)) V over patches of p × p tokens, all their features in one
        C = W_c softmax(Q Kᵀ / √N) V over the D features of a head, each of N tokens

    Either has projections of its own, and P = σ(α) S + σ(β) C; α and β begin at 0.

    Args:
        dim: token width C.
        num_heads: number of heads; must divide C. D is the width of one.
        patch_size: p. What lacks for whole patches at the right and below is filled up by zeros
            after the projections.

    Source: CAVER, arXiv 2112.02363; see :class:`mutualformer.fusions.ViewMixed`.

    >>> tokens = torch.randn(2, 35, 32)
    >>> ViewMixedAttention(32, num_heads=2, patch_size=4)(tokens, tokens, (5, 7)).shape
    torch.Size([2, 35, 32])
    """

    def __init__(self, dim: int, num_heads: int, patch_size: int) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        check_integer("patch_size", patch_size, 1)
        self.num_heads = num_heads
        self.patch_size = patch_size
        self.query_spatial, self.query_channel = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.key_value_spatial = nn.Linear(dim, 2 * dim)
        self.key_value_channel = nn.Linear(dim, 2 * dim)
        self.projection_spatial, self.projection_channel = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(
        self, tokens: Tensor, context: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map what asks and what is asked, `(B, N, C)`, to σ(α) S + σ(β) C, `(B, N, C)`."""
        spatial = self._attend_to_patches(tokens, context, spatial_size)
        channel = self._attend_to_channels(tokens, context)
        return self.alpha.sigmoid() * spatial + self.beta.sigmoid() * channel

    def _attend_to_patches(
        self, tokens: Tensor, context: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        streams = (self.query_spatial(tokens), *self.key_value_spatial(context).chunk(2, dim=-1))
        grids = [token_grid(x, spatial_size, "view-mixed attention") for x in streams]
        height, width = grids[0].shape[-2:]
        size = self.patch_size
        # Rows and columns of zeros, which add nothing to a product, fill the last patches up.
        missing = (0, -width % size, 0, -height % size)
        query, key, value = (self._to_patches(F.pad(grid, missing)) for grid in grids)
        attended = F.scaled_dot_product_attention(query, key, value)  # B H patches D·p²
        rows = (height + size - 1) // size
        attended = attended.unflatten(-1, (-1, size, size)).unflatten(2, (rows, -1))
        grid = attended.permute(0, 1, 4, 2, 5, 3, 6).flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return self.projection_spatial(grid[..., :height, :width].flatten(2).mT)

    def _to_patches(self, grid: Tensor) -> Tensor:
        """Make `(B, C, h, w)` tokens of p × p pixels, `(B, H, patches, D·p²)`."""
        size = self.patch_size
        split = grid.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))  # B C h/p p w/p p
        heads = split.unflatten(1, (self.num_heads, -1)).permute(0, 1, 3, 5, 2, 4, 6)
        return heads.flatten(4).flatten(2, 3)

    def _attend_to_channels(self, tokens: Tensor, context: Tensor) -> Tensor:
        streams = (self.query_channel(tokens), *self.key_value_channel(context).chunk(2, dim=-1))
        query, key, value = (split_heads(x, self.num_heads).mT for x in streams)  # B H D N
        return self.projection_channel(
            merge_heads(F.scaled_dot_product_attention(query, key, value).mT)
        )
