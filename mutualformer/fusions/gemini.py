"""GeminiFusion: attention of every token to itself and to the other modality's token there."""

import torch
from torch import Tensor, nn

from mutualformer.check_options import check_heads
from mutualformer.fusions.base import Fusion


class PixelAttention(nn.Module):
    """Let a modality attend to itself and to the other at each pixel; see :class:`Gemini`."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.projection = nn.Linear(dim, dim)
        self.key_noise = nn.Parameter(torch.randn(dim))
        self.value_noise = nn.Parameter(torch.randn(dim))

    def forward(self, tokens: Tensor, other: Tensor, relation: Tensor) -> Tensor:
        """Map X_m, X_o and φ_m, `(B, N, C)`, to X'_m of the same shape."""
        keys = torch.stack((tokens + self.key_noise, relation * tokens), dim=-2)
        values = torch.stack((tokens + self.value_noise, other), dim=-2)
        query = self.query(tokens).unsqueeze(-2)
        heads = (self.num_heads, -1)
        query, key, value = (
            x.unflatten(-1, heads) for x in (query, self.key(keys), self.value(values))
        )  # B N 2 H D, of the query B N 1 H D
        logits = (query * key).sum(dim=-1, keepdim=True) * key.shape[-1] ** -0.5
        attended = (logits.softmax(dim=-3) * value).sum(dim=-3).flatten(-2)
        return tokens + self.projection(attended)


class Gemini(Fusion):
    """Fuse after GeminiFusion: once per stage; its streams go on in a network that feeds back.

    Per pixel, m one modality and o the other:

        φ_m = softmax over features of W₂ GELU(W₁(X_m ‖ X_o))
        X'_m = X_m + MHA_m(query X_m; keys X_m + κ_m, φ_m ⊙ X_m; values X_m + ν_m, X_o)
        P = ½ (X'_r + X'_d)

    κ and ν are learned vectors, begun at N(0, 1); the W are common to both modalities. The second
    key is gated from X_m, not from X_o.

    Args:
        dim: token width C.
        num_heads: heads H of the attention; must divide C.

    Raises:
        ValueError: C is not a multiple of H.

    Cost: 11C² + 14C parameters; O(NC²): two keys per token.

    Source: Jia et al., "GeminiFusion", arXiv 2406.01210; read in the authors' code,
    JiaDingCN/GeminiFusion (MIT), `models/mix_transformer.py`, whose formulas these are and whose
    layers add up to these parameters; the paper itself was not read. What differs: the source does
    this in every block of an encoder that the modalities share, between its self-attention and its
    projection; there are two predictions, one per stream, averaged with learned weights, where P is
    a plain mean here.

    >>> Gemini(32)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    rewrites_streams = rewrites_in_paper = True

    def __init__(self, dim: int, *, num_heads: int = 8) -> None:
        check_heads(dim, num_heads)
        super().__init__()
        self.relation = nn.Sequential(
            nn.Linear(2 * dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.Softmax(dim=-1)
        )
        self.attend_rgb = PixelAttention(dim, num_heads)
        self.attend_depth = PixelAttention(dim, num_heads)

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P and X'_r and X'_d."""
        relation_rgb = self.relation(torch.cat((tokens_rgb, tokens_depth), dim=-1))
        relation_depth = self.relation(torch.cat((tokens_depth, tokens_rgb), dim=-1))
        rewritten_rgb = self.attend_rgb(tokens_rgb, tokens_depth, relation_rgb)
        rewritten_depth = self.attend_depth(tokens_depth, tokens_rgb, relation_depth)
        return (rewritten_rgb + rewritten_depth) / 2, rewritten_rgb, rewritten_depth
