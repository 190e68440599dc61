"""Batch normalisation of tokens."""

from torch import Tensor, nn


class TokenBatchNorm(nn.Module):
    """Normalise every feature over the samples and tokens of a batch, as on a feature map.

    `BatchNorm2d` on the grid of the tokens would be the same, were its gradients right: torch 2.14
    gets them wrong on CPUs for a single sample where input and gradient differ in memory layout.

    Args:
        dim: token width C.

    >>> import torch
    >>> TokenBatchNorm(32)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim)  # a part, not a base: SyncBatchNorm may take its place

    def forward(self, tokens: Tensor) -> Tensor:
        """Map `(B, N, C)` to the same shape."""
        return self.norm(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
