"""Cross-attention between the modalities."""

import torch.nn.functional as F
from torch import Tensor

from mutualformer.fusions.base import MixingFusion
from mutualformer.fusions.pair_mixing import PairMixing
from mutualformer.ops.cross_diffusion.options import QueryKeyValue


class CrossAttention(MixingFusion):
    """Compare RGB queries with depth keys, and depth queries with RGB keys.

        H_r = softmax(Q_r K_dᵀ / √D) V_d,   H_d = softmax(Q_d K_rᵀ / √D) V_r

    For self-attention beside it, use ``MutualFormerBlock`` with T = 0 from the cross-affinity.

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

    >>> import torch
    >>> CrossAttention(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

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
        mixing = PairMixing(
            attend_across,
            dim,
            num_heads=num_heads,
            qkv_bias=qkv_bias,
            kernel_size=kernel_size,
            dropout=dropout,
            drop_path=drop_path,
        )
        super().__init__(mixing, dim, mlp_ratio=mlp_ratio, dropout=dropout, drop_path=drop_path)


def attend_across(rgb: QueryKeyValue, depth: QueryKeyValue) -> tuple[Tensor, Tensor]:
    """Map Q, K, V of both modalities to H_r and H_d, each `(B, H, N, D)`."""
    return (
        F.scaled_dot_product_attention(rgb.query, depth.key, depth.value),
        F.scaled_dot_product_attention(depth.query, rgb.key, rgb.value),
    )
