"""Cross-attention between the modalities."""

import torch.nn.functional as F
from torch import Tensor

from mutualformer.fusions.pair import PairFusion, PairMixing
from mutualformer.ops.cross_diffusion.options import QueryKeyValue


class CrossAttentionMixing(PairMixing):
    """Let every token attend to the N tokens of the other modality."""

    def attend(self, rgb: QueryKeyValue, depth: QueryKeyValue) -> tuple[Tensor, Tensor]:
        """Map Q, K, V of both modalities, `(B, H, N, D)`, to H_r and H_d of the same shape."""
        return (
            F.scaled_dot_product_attention(rgb.query, depth.key, depth.value),
            F.scaled_dot_product_attention(depth.query, rgb.key, rgb.value),
        )


class CrossAttention(PairFusion):
    """Compare RGB queries with depth keys, and depth queries with RGB keys; as `PairFusion`.

        H_r = softmax(Q_r K_dᵀ / √D) V_d,   H_d = softmax(Q_d K_rᵀ / √D) V_r

    For self-attention beside it, use ``MutualFormerBlock`` with T = 0 from the cross-affinity.

    >>> import torch
    >>> CrossAttention(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    mixing_class = CrossAttentionMixing
