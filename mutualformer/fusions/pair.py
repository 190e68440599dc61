"""What the attention baselines share: both modalities read each other, then are joined."""

from torch import Tensor, nn

from mutualformer.fusions.base import MixingFusion
from mutualformer.layers import ConcatResidual, QueryKeyValueProjection
from mutualformer.layers.attention import merge_heads
from mutualformer.ops.cross_diffusion.options import QueryKeyValue


class PairMixing(nn.Module):
    """Attend across the two modalities, then P' = g(H_r ‖ H_d) + h(X_r ‖ X_d)."""

    def __init__(
        self, dim: int, num_heads: int, *, qkv_bias: bool, kernel_size: int, **drop: float
    ) -> None:
        super().__init__()
        self.norm_rgb = nn.LayerNorm(dim)
        self.norm_depth = nn.LayerNorm(dim)
        self.qkv_rgb = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.qkv_depth = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.join = ConcatResidual(dim, kernel_size=kernel_size, **drop)

    def forward(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended = self.attend(
            self.qkv_rgb(self.norm_rgb(tokens_rgb)), self.qkv_depth(self.norm_depth(tokens_depth))
        )
        return self.join(*map(merge_heads, attended), tokens_rgb, tokens_depth, spatial_size)

    def attend(self, rgb: QueryKeyValue, depth: QueryKeyValue) -> tuple[Tensor, Tensor]:
        """Map Q, K, V of both modalities, `(B, H, N, D)`, to H_r and H_d of the same shape."""
        raise NotImplementedError


class PairFusion(MixingFusion):
    """Attend across the modalities in the way of ``mixing_class``, then feed forward.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size: kernel of the convolutions that join streams, in tokens; odd.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: C is not a multiple of H, or an option is outside its range.
    """

    mixing_class: type[PairMixing]

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        kernel_size: int = 1,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        drop = {"dropout": dropout, "drop_path": drop_path}
        mixing = self.mixing_class(
            dim, num_heads, qkv_bias=qkv_bias, kernel_size=kernel_size, **drop
        )
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, **drop)
