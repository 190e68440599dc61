"""TokenFusion: tokens that say little give way to the other modality's token at their place."""

from typing import Any

import torch
from torch import Tensor, nn

from mutualformer.check_options import is_number
from mutualformer.errors import UserError
from mutualformer.fusions.base import FeedForward, Fusion
from mutualformer.layers import BranchDropout, SelfAttention

THRESHOLD = 0.02  # θ, as in the authors' code


class ScoreNet(nn.Sequential):
    """Score every token of a modality, `(B, N, C)` to `(B, N, 2)`; the softmax is the caller's."""

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.LayerNorm(dim),
            nn.Linear(dim, dim),
            nn.GELU(),
            nn.Linear(dim, dim // 2),
            nn.GELU(),
            nn.Linear(dim // 2, dim // 4),
            nn.GELU(),
            nn.Linear(dim // 4, 2),
        )


class TokenExchange(Fusion):
    """Fuse after TokenFusion: once per stage; its streams go on in a network that feeds back.

    Per token n, m one modality and o the other; attention and FFN are common to both:

        s_m = softmax(MLP_m(LN(X_m)))₁,   Y_m = s_m ⊙ W SA(LN_m(X_m))
        Z_m[n] = Y_m[n] if s_m[n] ≥ θ, else Y_o[n]
        X'_m = X_m + Z_m,   X''_m = X'_m + FFN(LN'_m(X'_m)),   P = ½ (X''_r + X''_d)

    The choice has no gradient. The loss gets λ Σ_m Σ_n s_m[n], summed over the batch: this L1 term
    is what pushes scores below θ = 0.02 (:meth:`auxiliary_loss`).

    Args:
        dim: token width C, at least 4.
        num_heads: heads of the self-attention; must divide C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        sparsity: λ. The sum grows with batch and image, and λ is to be chosen with them.
        dropout: probability of zeroing a feature of what is added to the residual path.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: C is below 4 or no multiple of the heads; an option is outside its range.

    Cost: 3.25C² + 8.5C + 4 parameters in the scores, 12C² + 17C in the block at mlp_ratio 4;
    O(N²C).

    Source: Wang et al., "Multimodal Token Fusion for Vision Transformers", arXiv 2204.08721; read
    in the authors' code, yikaiw/TokenFusion (MIT), `semantic_segmentation/` (`main.py` for the L1
    term, the README for λ), whose formulas these are and whose score networks add up to these
    parameters; the paper itself was not read. It is the branch of the attention that is scaled and
    exchanged, before it is added to the stream. What differs: the source does this in every block
    of one MiT for both modalities (with a score network per stage), whose keys are reduced and
    whose FFN holds a 3×3 convolution; two predictions, averaged with learned weights, are a plain
    mean of the streams here.

    >>> TokenExchange(32, num_heads=4)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    rewrites_streams = rewrites_in_paper = True

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        sparsity: float = 1e-6,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        if dim < 4:
            raise UserError(f"dim is {dim}, expected by TokenFusion at least 4")
        if not is_number(sparsity) or sparsity < 0:
            raise UserError(f"sparsity is {sparsity!r}, expected a number >= 0")
        super().__init__()
        self.sparsity = sparsity
        self.score_rgb, self.score_depth = ScoreNet(dim), ScoreNet(dim)
        self.norm_attention_rgb, self.norm_attention_depth = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_rgb, self.norm_depth = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads)
        self.projection = nn.Linear(dim, dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)
        self.drop_attention = BranchDropout(dropout, drop_path)
        self.drop = BranchDropout(drop_path=drop_path)
        self._scores: tuple[Tensor, ...] = ()

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P and X''_r and X''_d."""
        scores_rgb = self.score_rgb(tokens_rgb).softmax(dim=-1)[..., :1]
        scores_depth = self.score_depth(tokens_depth).softmax(dim=-1)[..., :1]
        if self.training and not torch.compiler.is_exporting():
            self._scores = (scores_rgb, scores_depth)
        branch_rgb = scores_rgb * self._attend(self.norm_attention_rgb(tokens_rgb))
        branch_depth = scores_depth * self._attend(self.norm_attention_depth(tokens_depth))
        exchanged_rgb = torch.where(scores_rgb < THRESHOLD, branch_depth, branch_rgb)
        exchanged_depth = torch.where(scores_depth < THRESHOLD, branch_rgb, branch_depth)
        tokens_rgb = tokens_rgb + self.drop_attention(exchanged_rgb)
        tokens_depth = tokens_depth + self.drop_attention(exchanged_depth)
        tokens_rgb = tokens_rgb + self.drop(self.feed_forward(self.norm_rgb(tokens_rgb)))
        tokens_depth = tokens_depth + self.drop(self.feed_forward(self.norm_depth(tokens_depth)))
        return (tokens_rgb + tokens_depth) / 2, tokens_rgb, tokens_depth

    def auxiliary_loss(self) -> Tensor | float:
        """Return λ Σ s of the last forward pass in training, once; 0 after another."""
        scores, self._scores = self._scores, ()
        return self.sparsity * sum(score.sum() for score in scores)

    def _attend(self, tokens: Tensor) -> Tensor:
        return self.projection(self.attention(tokens))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_scores": ()}  # which are in a graph, and cannot be copied
