"""MBT: the modalities meet through a few bottleneck tokens only."""

import torch
from torch import Tensor, nn

from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.fusions.base import FeedForward, Fusion
from mutualformer.layers import BranchDropout, SelfAttention


class EncoderLayer(nn.Module):
    """Attend within tokens, then feed forward, each after a LayerNorm and beside a residual path.

    Args:
        dim: token width C.
        num_heads: heads of the self-attention; must divide C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        drop: ``dropout`` and ``drop_path`` of both branches.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, **drop: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads)
        self.projection = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, drop["dropout"])
        self.drop_attention = BranchDropout(**drop)
        self.drop = BranchDropout(drop_path=drop["drop_path"])

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(B, N, C)` to the same shape."""
        attended = self.projection(self.attention(self.norm_attention(tokens)))
        tokens = tokens + self.drop_attention(attended)
        return tokens + self.drop(self.feed_forward(self.norm(tokens)))


class Bottleneck(Fusion):
    """Fuse after MBT: its layers stand behind the encoders, and nothing is fed back into them.

    In each of L layers, m one modality, all with weights of their own:

        X_m ‖ b_m = layer_m(X_m ‖ b),   b = ½ (b_r + b_d)

    ‖ joins tokens; b are B learned tokens, begun at N(0, 0.02²). At last P = ½ (X_r + X_d).

    Args:
        dim: token width C.
        num_heads: heads of the self-attention; must divide C.
        num_bottlenecks: B.
        num_layers: L, at least 2: in the first, b has yet to see a modality.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: C is not a multiple of the heads; an option is outside its range.

    Cost: 2L (12C² + 13C) + BC parameters at mlp_ratio 4; O(L (N + B)² C).

    Source: Nagrani et al., "Attention Bottlenecks for Multimodal Fusion", arXiv 2107.00135; read in
    the authors' code, google-research/scenic (Apache-2.0, JAX), `scenic/projects/mbt/model.py`,
    whose formulas these are; the parameters agree with a count by hand, and the paper itself was
    not read. What differs: the source lets the last 4 of 12 layers of its encoders meet (B = 4) and
    classifies by them; a dense output, P, is an inference of ours, as is its plain mean without the
    source's last LayerNorm. GELU is exact, and attention weights have no dropout.

    >>> Bottleneck(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    rewrites_streams = rewrites_in_paper = True

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        num_bottlenecks: int = 4,
        num_layers: int = 2,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        check_integer("num_bottlenecks", num_bottlenecks, 1)
        check_integer("num_layers", num_layers, 1)
        if num_layers < 2:
            raise UserError(
                f"num_layers is {num_layers}, expected at least 2: bottleneck tokens collect in "
                "one layer what they pass on in the next"
            )
        super().__init__()
        self.bottlenecks = nn.Parameter(0.02 * torch.randn(1, num_bottlenecks, dim))
        self.layers_rgb, self.layers_depth = (
            nn.ModuleList(
                EncoderLayer(dim, num_heads, mlp_ratio, dropout=dropout, drop_path=drop_path)
                for _ in range(num_layers)
            )
            for _ in range(2)
        )

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P and what they are after the last layer."""
        num_tokens = tokens_rgb.shape[1]
        bottlenecks = self.bottlenecks.expand(tokens_rgb.shape[0], -1, -1)
        for layer_rgb, layer_depth in zip(self.layers_rgb, self.layers_depth, strict=True):
            joined_rgb = layer_rgb(torch.cat((tokens_rgb, bottlenecks), dim=1))
            joined_depth = layer_depth(torch.cat((tokens_depth, bottlenecks), dim=1))
            tokens_rgb, tokens_depth = joined_rgb[:, :num_tokens], joined_depth[:, :num_tokens]
            bottlenecks = (joined_rgb[:, num_tokens:] + joined_depth[:, num_tokens:]) / 2
        return (tokens_rgb + tokens_depth) / 2, tokens_rgb, tokens_depth
