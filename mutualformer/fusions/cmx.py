"""CMX: feature rectification of both streams, then their fusion."""

import torch
from torch import Tensor, nn

from mutualformer.check_options import check_heads
from mutualformer.fusions.base import Fusion
from mutualformer.layers.aggregation import token_grid
from mutualformer.layers.attention import merge_heads, split_heads
from mutualformer.layers.token_batch_norm import TokenBatchNorm


class FeatureRectification(nn.Module):
    """Let each modality correct the other, by channel and by pixel (FRM); see :class:`CMX`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(4 * dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, 2 * dim), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, 2), nn.Sigmoid()
        )

    def forward(self, tokens_rgb: Tensor, tokens_depth: Tensor) -> tuple[Tensor, Tensor]:
        """Map X_r, X_d, `(B, N, C)`, to X'_r, X'_d of the same shape."""
        both = torch.cat((tokens_rgb, tokens_depth), dim=-1)
        pooled = torch.cat((both.mean(dim=1), both.amax(dim=1)), dim=-1)
        channel_rgb, channel_depth = self.channel(pooled).unsqueeze(1).chunk(2, dim=-1)
        spatial_rgb, spatial_depth = self.spatial(both).chunk(2, dim=-1)
        return (
            tokens_rgb + (channel_depth + spatial_depth) / 2 * tokens_depth,
            tokens_depth + (channel_rgb + spatial_rgb) / 2 * tokens_rgb,
        )


class CrossPath(nn.Module):
    """What one modality gives and takes in the exchange of the FFM; see :class:`CMX`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project = nn.Linear(dim, 2 * dim)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.join = nn.Linear(2 * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def give(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map X' `(B, N, C)` to y and u `(B, N, C)`, and to G, `(B, H, D, D)`."""
        kept, query = self.project(tokens).relu().chunk(2, dim=-1)
        key, value = self.key_value(query).chunk(2, dim=-1)
        key, value = (split_heads(x, self.num_heads) for x in (key, value))
        context = (key.mT @ value * key.shape[-1] ** -0.5).softmax(dim=-2)
        return kept, query, context

    def take(self, tokens: Tensor, kept: Tensor, query: Tensor, context: Tensor) -> Tensor:
        """Map X', y, u, and the other modality's G, to X'' `(B, N, C)`."""
        attended = merge_heads(split_heads(query, self.num_heads) @ context)
        return self.norm(tokens + self.join(torch.cat((kept, attended), dim=-1)))


class FeatureFusion(nn.Module):
    """Exchange contexts between rectified modalities and merge them (FFM); see :class:`CMX`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.rgb = CrossPath(dim, num_heads)
        self.depth = CrossPath(dim, num_heads)
        self.residual = nn.Linear(2 * dim, dim, bias=False)
        self.reduce = nn.Linear(2 * dim, dim)
        self.depthwise = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.expand = nn.Linear(dim, dim)
        self.norm_embedded = TokenBatchNorm(dim)
        self.norm = TokenBatchNorm(dim)

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X'_r, X'_d, `(B, N, C)`, to P `(B, N, C)`."""
        kept_rgb, query_rgb, context_rgb = self.rgb.give(tokens_rgb)
        kept_depth, query_depth, context_depth = self.depth.give(tokens_depth)
        crossed_rgb = self.rgb.take(tokens_rgb, kept_rgb, query_rgb, context_depth)
        crossed_depth = self.depth.take(tokens_depth, kept_depth, query_depth, context_rgb)
        merged = torch.cat((crossed_rgb, crossed_depth), dim=-1)
        embedded = self.depthwise(token_grid(self.reduce(merged), spatial_size, "CMX"))
        embedded = self.norm_embedded(self.expand(embedded.relu().flatten(2).mT))
        return self.norm(self.residual(merged) + embedded)


class CMX(Fusion):
    """Fuse after CMX; its rectified streams go on in a network that feeds back.

    Rectification (FRM), m one modality and o the other:

        c_r ‖ c_d = σ(MLP(avg(X_r ‖ X_d) ‖ max(X_r ‖ X_d))),   s_r ‖ s_d = σ(MLP(X_r ‖ X_d))
        X'_m = X_m + ½ c_o ⊙ X_o + ½ s_o ⊙ X_o

    Fusion (FFM), K_m, V_m = W_m u_m in heads of width D:

        y_m ‖ u_m = ReLU(P_m X'_m),   G_m = softmax over rows of K_mᵀ V_m / √D
        X''_m = LN(X'_m + E_m (y_m ‖ u_m G_o)),   Z = X''_r ‖ X''_d
        P = BN(A Z + BN(B₂ ReLU(DW3×3(B₁ Z))))

    Args:
        dim: token width C.
        num_heads: heads H of the exchange; must divide C. The paper's stages have 1, 2, 5 and 8.

    Raises:
        ValueError: C is not a multiple of H; in the forward pass, ``spatial_size`` is missing.

    Cost: 43C² + 35C + 2 parameters; O(NC²), without an N × N matrix.

    Source: Liu et al., "CMX", arXiv 2203.04838; read in the authors' code, huaaaliu/RGBX_Semantic_
    Segmentation (MIT), `models/net_utils.py`, whose formulas and parameters these are; the paper
    itself was not read. What differs: the width, one
    for all stages, where feedback is brought back to that of the encoder; torch's initialisation.

    >>> CMX(32)(torch.randn(2, 32, 5, 7), torch.randn(2, 32, 5, 7)).shape
    torch.Size([2, 32, 5, 7])
    """

    rewrites_streams = rewrites_in_paper = True

    def __init__(self, dim: int, *, num_heads: int = 8) -> None:
        check_heads(dim, num_heads)
        super().__init__()
        self.rectify = FeatureRectification(dim)
        self.merge = FeatureFusion(dim, num_heads)

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P and the rectified X'_r and X'_d."""
        rectified = self.rectify(tokens_rgb, tokens_depth)
        return self.merge(*rectified, spatial_size), *rectified
