"""Convolutions that join token streams along their features."""

import torch
from torch import Tensor, nn

from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.layers.branch_dropout import BranchDropout


def token_grid(tokens: Tensor, spatial_size: tuple[int, int] | None, needed_by: str) -> Tensor:
    """Lay tokens `(B, N, C)` out on their grid, `(B, C, height, width)`.

    Args:
        tokens: in the order of the rows of the grid.
        spatial_size: (height, width).
        needed_by: what to call in the error.

    Raises:
        ValueError: the grid is missing or does not hold N tokens.

    >>> token_grid(torch.randn(2, 6, 32), (2, 3), "this").shape
    torch.Size([2, 32, 2, 3])
    """
    num_tokens = tokens.shape[1]
    if spatial_size is None or spatial_size[0] * spatial_size[1] != num_tokens:
        raise UserError(
            f"spatial_size is {spatial_size} for {num_tokens} tokens; {needed_by} "
            f"needs (height, width) with height * width = {num_tokens}"
        )
    return tokens.transpose(-2, -1).unflatten(-1, spatial_size)


class TokenConvolution(nn.Module):
    """Concatenate token streams along the features and convolve over their grid.

    Args:
        in_dim: sum of the widths of the streams.
        out_dim: width of the result.
        kernel_size: odd size of the kernel, in tokens. At 1 the grid does not matter; above, the
            caller gives it as ``spatial_size``. Zero padding keeps the number of tokens.

    Raises:
        ValueError: an even kernel, or a grid that is missing or does not hold N tokens.

    >>> TokenConvolution(64, 32)(torch.randn(2, 49, 32), torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, in_dim: int, out_dim: int, kernel_size: int = 1) -> None:
        super().__init__()
        check_integer("kernel_size", kernel_size, 1)
        if kernel_size % 2 == 0:
            raise UserError(f"kernel_size is {kernel_size}, expected an odd number >= 1")
        self.convolution = nn.Conv2d(in_dim, out_dim, kernel_size, padding=kernel_size // 2)

    def forward(self, *streams: Tensor, spatial_size: tuple[int, int] | None = None) -> Tensor:
        """Map streams of `(B, N, C_i)` to `(B, N, out_dim)`; ``spatial_size`` = (height, width)."""
        tokens = torch.cat(streams, dim=-1)
        if self.convolution.kernel_size == (1, 1):
            spatial_size = (tokens.shape[1], 1)
        grid = token_grid(tokens, spatial_size, "a kernel larger than 1")
        return self.convolution(grid).flatten(2).transpose(-2, -1)


class TokenSum(nn.Module):
    """Add token streams: what stands in for a :class:`TokenConvolution` that is taken out.

    >>> TokenSum()(torch.ones(2, 49, 32), torch.ones(2, 49, 32)).unique()
    tensor([2.])
    """

    def forward(self, *streams: Tensor, spatial_size: tuple[int, int] | None = None) -> Tensor:
        """Map streams of `(B, N, C)` to their sum; ``spatial_size`` does not matter."""
        return torch.stack(streams).sum(dim=0)


class ConcatResidual(nn.Module):
    """Fuse what attention returned with the residual path: P' = g(H_r ‖ H_d) + h(X_r ‖ X_d).

    Args:
        dim: token width C.
        kernel_size: kernel of g and h; see :class:`TokenConvolution`.
        dropout: probability of zeroing a feature of g's output.
        drop_path: probability of leaving out the whole of g's output for a sample in training
            (stochastic depth); the residual path h always stays.

    Source: MutualFormer, arXiv 2112.01177; g and h are convolutions with their own weights.

    >>> ConcatResidual(32)(*[torch.randn(2, 49, 32)] * 4).shape
    torch.Size([2, 49, 32])
    """

    def __init__(
        self, dim: int, *, kernel_size: int = 1, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.g = TokenConvolution(2 * dim, dim, kernel_size)
        self.h = TokenConvolution(2 * dim, dim, kernel_size)
        self.drop = BranchDropout(dropout, drop_path)

    def forward(
        self,
        attended_rgb: Tensor,
        attended_depth: Tensor,
        tokens_rgb: Tensor,
        tokens_depth: Tensor,
        spatial_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """Map H_r, H_d, X_r, X_d, each `(B, N, C)`, to P' `(B, N, C)`."""
        attended = self.g(attended_rgb, attended_depth, spatial_size=spatial_size)
        residual = self.h(tokens_rgb, tokens_depth, spatial_size=spatial_size)
        return self.drop(attended) + residual
