"""The mixing step that the attention baselines share."""

from collections.abc import Callable

from torch import Tensor, nn

from mutualformer.layers import ConcatResidual, QueryKeyValueProjection
from mutualformer.layers.attention import merge_heads
from mutualformer.ops.cross_diffusion.options import QueryKeyValue


class PairMixing(nn.Module):
    """Attend across the two modalities, then P' = g(H_r ‖ H_d) + h(X_r ‖ X_d).

    Args:
        attend: maps Q, K, V of RGB and of depth, each `(B, H, N, D)`, to H_r and H_d.
        dim: token width C.
        num_heads: number of heads H; must divide C.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size, dropout, drop_path: as in :class:`mutualformer.layers.ConcatResidual`.
    """

    def __init__(
        self,
        attend: Callable[[QueryKeyValue, QueryKeyValue], tuple[Tensor, Tensor]],
        dim: int,
        *,
        num_heads: int,
        qkv_bias: bool,
        kernel_size: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.attend = attend
        self.norm_rgb = nn.LayerNorm(dim)
        self.norm_depth = nn.LayerNorm(dim)
        self.qkv_rgb = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.qkv_depth = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.join = ConcatResidual(
            dim, kernel_size=kernel_size, dropout=dropout, drop_path=drop_path
        )

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended = self.attend(
            self.qkv_rgb(self.norm_rgb(tokens_rgb)), self.qkv_depth(self.norm_depth(tokens_depth))
        )
        return self.join(*map(merge_heads, attended), tokens_rgb, tokens_depth, spatial_size)
