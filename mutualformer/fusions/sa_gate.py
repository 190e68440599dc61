"""SA-Gate: separation, then aggregation, by channel weights and a gate per pixel."""

import torch
from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.fusions.base import Fusion

REDUCTION = 16  # of the channels in the separation, as in the authors' code


class FeatureSeparation(nn.Module):
    """Correct one modality by channels of the other (the guide); see :class:`SAGate`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weights = nn.Sequential(
            nn.Linear(2 * dim, dim // REDUCTION),
            nn.ReLU(),
            nn.Linear(dim // REDUCTION, dim),
            nn.Sigmoid(),
        )

    def forward(self, tokens: Tensor, guide: Tensor) -> Tensor:
        """Map X_m and X_o, `(B, N, C)`, to X̂_m of the same shape."""
        pooled = torch.cat((guide, tokens), dim=-1).mean(dim=1, keepdim=True)
        return tokens + self.weights(pooled) * guide


class SAGate(Fusion):
    """Fuse after SA-Gate; its rewritten streams go on in a network that feeds back.

    Separation, m one modality and o the other; aggregation; and what would go on:

        c_m = σ(W₂ ReLU(W₁ avg(X_o ‖ X_m))),   X̂_m = X_m + c_m ⊙ X_o
        g_r, g_d = softmax(w_rᵀ(X̂_r ‖ X̂_d), w_dᵀ(X̂_r ‖ X̂_d)),   P = g_r ⊙ X_r + g_d ⊙ X_d
        X'_m = ReLU(½ (X_m + P))

    The gates weigh X, not X̂.

    Args:
        dim: token width C, at least 16: W₁ reduces 2C features to C / 16, rounded down.

    Raises:
        ValueError: C is below 16.

    Cost: 6C² / 16 + 6C + C / 8 + 2 parameters where 16 divides C; O(NC).

    Source: Chen et al., "Bi-directional Cross-Modality Feature Propagation with Separation-and-
    Aggregation Gate", arXiv 2007.09183; read in the authors' code, charlesCXK/RGBD_Semantic_
    Segmentation_PyTorch (MIT), `net_util.py`, whose formulas and parameters these are; the paper
    itself was not read. What differs: the width, one for all stages, where feedback is
    brought back to that of the encoder.

    >>> SAGate(32)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    rewrites_streams = rewrites_in_paper = True

    def __init__(self, dim: int) -> None:
        if dim < REDUCTION:
            raise UserError(f"dim is {dim}, expected by SA-Gate at least {REDUCTION}")
        super().__init__()
        self.separate_rgb = FeatureSeparation(dim)
        self.separate_depth = FeatureSeparation(dim)
        self.gates = nn.Linear(2 * dim, 2)

    def fuse_and_rewrite(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map X_r and X_d, `(B, N, C)`, to P and X'_r and X'_d."""
        separated_rgb = self.separate_rgb(tokens_rgb, tokens_depth)
        separated_depth = self.separate_depth(tokens_depth, tokens_rgb)
        gates = self.gates(torch.cat((separated_rgb, separated_depth), dim=-1)).softmax(dim=-1)
        gate_rgb, gate_depth = gates.chunk(2, dim=-1)
        fused = gate_rgb * tokens_rgb + gate_depth * tokens_depth
        return fused, ((tokens_rgb + fused) / 2).relu(), ((tokens_depth + fused) / 2).relu()
