"""The mixing step of the authors' release, which differs from the paper."""

from dataclasses import asdict

import torch
from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.layers import BranchDropout, QueryKeyValueProjection, SelfAttention
from mutualformer.layers.attention import merge_heads
from mutualformer.ops.cross_diffusion.dense import scaled_logits
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions


class ReleaseMixing(nn.Module):
    """Mix three token streams as the authors' code does, up to the feed-forward half.

        X_r ‖ X_d ← LN(X_r ‖ X_d)                  one LayerNorm over 2C features
        S_rd = ε S_rᵀ S_d + (1 − ε) (S_r + S_d)    one step from the identity, whatever T
        S_dr = ε S_dᵀ S_r + (1 − ε) (S_r + S_d)
        P'   = X_f + proj(SA(LN(X_f))) + proj_rd(proj_r(M_r ‖ M_rd) ‖ proj_d(M_d ‖ M_dr))

    where M_rd = S_rd V_d and M_dr = S_dr V_r. The paper has no third stream X_f, LayerNorms per
    modality, convolutions for the linear layers, ½ before S_r + S_d, S_r S_dᵀ for S_rᵀ S_d, and a
    recurrence.

    Args:
        dim: token width C.
        num_heads: number of heads H; must divide C.
        options: of the diffusion, of which ε alone has an effect.
        qkv_bias: whether the projections to Q, K and V have a bias.
        kernel_size: 1; the release has linear layers in place of convolutions.
        dropout: probability of zeroing a feature of either branch's output.
        drop_path: probability of leaving out a branch for a whole sample in training.

    Raises:
        ValueError: an option is given that the release does not have.

    Source: the file that the authors of arXiv 2112.01177 released, by its behaviour.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        options: CrossDiffusionOptions,
        *,
        qkv_bias: bool,
        kernel_size: int,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        given = {**asdict(options), "kernel_size": kernel_size}
        has = {**asdict(CrossDiffusionOptions(epsilon=options.epsilon)), "kernel_size": 1}
        for name, only in has.items():
            if given[name] != only:
                raise UserError(
                    f"{name.replace('dropout_p', 'attention_dropout')} is {given[name]!r}, but "
                    f"variant='release' has only {only!r}; use variant='paper' to change it"
                )
        self.epsilon = options.epsilon
        self.norm_pair = nn.LayerNorm(2 * dim)
        self.norm_fused = nn.LayerNorm(dim)
        self.qkv_rgb = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.qkv_depth = QueryKeyValueProjection(dim, num_heads, bias=qkv_bias)
        self.attention_fused = SelfAttention(dim, num_heads, qkv_bias=qkv_bias)
        self.proj_rgb = nn.Linear(2 * dim, dim)
        self.proj_depth = nn.Linear(2 * dim, dim)
        self.proj_pair = nn.Linear(2 * dim, dim)
        self.proj_fused = nn.Linear(dim, dim)
        self.drop = BranchDropout(dropout, drop_path)

    def forward(
        self,
        tokens_rgb: Tensor,
        tokens_depth: Tensor,
        spatial_size: tuple[int, int] | None,
        tokens_fused: Tensor | None = None,
    ) -> Tensor:
        """Map X_r, X_d, X_f, each `(B, N, C)`, to P'; X_f is ½ (X_r + X_d) if absent."""
        if tokens_fused is None:
            tokens_fused = 0.5 * (tokens_rgb + tokens_depth)
        pair = self._mix_pair(tokens_rgb, tokens_depth)
        fused = self.proj_fused(self.attention_fused(self.norm_fused(tokens_fused)))
        return tokens_fused + self.drop(fused) + self.drop(pair)

    def _mix_pair(self, tokens_rgb: Tensor, tokens_depth: Tensor) -> Tensor:
        pair = self.norm_pair(torch.cat((tokens_rgb, tokens_depth), dim=-1))
        tokens_rgb, tokens_depth = pair.chunk(2, dim=-1)
        rgb, depth = self.qkv_rgb(tokens_rgb), self.qkv_depth(tokens_depth)
        affinity_rgb = scaled_logits(rgb.query, rgb.key).softmax(-1)
        affinity_depth = scaled_logits(depth.query, depth.key).softmax(-1)
        target = (1 - self.epsilon) * (affinity_rgb + affinity_depth)
        affinity_rd = self.epsilon * affinity_rgb.mT @ affinity_depth + target
        affinity_dr = self.epsilon * affinity_depth.mT @ affinity_rgb + target

        def read(affinity: Tensor, value: Tensor) -> Tensor:
            return merge_heads(affinity @ value)

        joined_rgb = torch.cat((read(affinity_rgb, rgb.value), read(affinity_rd, depth.value)), -1)
        joined_depth = torch.cat(
            (read(affinity_depth, depth.value), read(affinity_dr, rgb.value)), dim=-1
        )
        joined = torch.cat((self.proj_rgb(joined_rgb), self.proj_depth(joined_depth)), dim=-1)
        return self.proj_pair(joined)
