"""A sum with a gate for every feature of every token: the control of all other fusions."""

import torch
from torch import Tensor, nn

from mutualformer.fusions.base import Fusion


class GatedSum(Fusion):
    """Weigh the modalities against each other by a gate, feature by feature.

        g = σ(W (X_r ‖ X_d) + b),   P = g ⊙ X_r + (1 − g) ⊙ X_d

    Args:
        dim: token width C.

    Cost: 2C² + C parameters; 2NC² multiplications; no token sees another.

    Source: folklore, of no single paper; the formula is that of gated multimodal units, without
    their transformation of the inputs.

    >>> GatedSum(32)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2 * dim, dim)

    def fuse(
        self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: tuple[int, int] | None
    ) -> Tensor:
        """Map X_r and X_d, `(B, N, C)`, to P `(B, N, C)`."""
        gate = self.gate(torch.cat((tokens_rgb, tokens_depth), dim=-1)).sigmoid()
        return gate * tokens_rgb + (1 - gate) * tokens_depth
