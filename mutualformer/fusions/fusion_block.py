"""The frame that every fusion shares: mix two token streams into one, then feed forward."""

from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from mutualformer.errors import UserError


class FeedForward(nn.Sequential):
    """Apply two linear layers with GELU between them, token by token.

    Args:
        dim: token width C.
        mlp_ratio: hidden width as a multiple of C.
        dropout: probability of zeroing a feature after either layer.

    >>> import torch
    >>> FeedForward(32)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int, mlp_ratio: float = 4.0, dropout: float = 0.0) -> None:
        hidden_dim = int(dim * mlp_ratio)
        if hidden_dim < 1:
            raise UserError(f"mlp_ratio is {mlp_ratio}; {dim} * mlp_ratio must be at least 1")
        super().__init__(
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_dim, dim),
            nn.Dropout(dropout),
        )


class FusionBlock(nn.Module):
    """Fuse two token streams: P' = mixing(X_r, X_d), P = P' + FFN(LN(P')).

    Args:
        mixing: module called with (tokens_rgb, tokens_depth, spatial_size), each stream
            `(B, N, C)`, returning P' `(B, N, C)` with its residual path included.
        dim: token width C.
        mlp_ratio: hidden width of the FFN as a multiple of C.
        dropout: dropout inside the FFN.
        drop_path: probability of leaving out the FFN for a whole sample in training (stochastic
            depth).
    """

    def __init__(
        self,
        mixing: nn.Module,
        dim: int,
        *,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.mixing = mixing
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio, dropout)
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def forward(
        self,
        tokens_rgb: Tensor,
        tokens_depth: Tensor,
        spatial_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Fuse `(B, N, C)` and `(B, N, C)` to `(B, N, C)`.

        Args:
            tokens_rgb: X_r, `(B, N, C)`.
            tokens_depth: X_d, `(B, N, C)`.
            spatial_size: (height, width) of the token grid; needed only where a kernel is larger
                than 1.

        Returns:
            P, `(B, N, C)`.
        """
        return self._feed_forward(self.mixing(tokens_rgb, tokens_depth, spatial_size))

    def _feed_forward(self, fused: Tensor) -> Tensor:
        return fused + self.drop_path(self.feed_forward(self.norm(fused)))
