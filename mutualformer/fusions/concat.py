"""Joint self-attention over the concatenated tokens of both modalities."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mutualformer.fusions.pair import PairFusion, PairMixing
from mutualformer.ops.cross_diffusion.options import QueryKeyValue


class ConcatMixing(PairMixing):
    """Let every token attend to all 2N tokens."""

    def attend(self, rgb: QueryKeyValue, depth: QueryKeyValue) -> tuple[Tensor, Tensor]:
        """Map Q, K, V of both modalities, `(B, H, N, D)`, to H_r and H_d of the same shape."""
        query, key, value = (torch.cat(pair, dim=-2) for pair in zip(rgb, depth, strict=True))
        attended = F.scaled_dot_product_attention(query, key, value)
        attended_rgb, attended_depth = attended.chunk(2, dim=-2)
        return attended_rgb, attended_depth


class Concat(PairFusion):
    """Let every token attend to all 2N tokens, the plainest transformer; options of `PairFusion`.

    >>> Concat(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    mixing_class = ConcatMixing
