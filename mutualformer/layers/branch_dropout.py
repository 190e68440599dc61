"""What regularises a branch beside a residual path."""

import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer.check_options import check_probability


class BranchDropout(nn.Module):
    """Drop features, then whole samples, of what is added to a residual path; only in training.

    Args:
        dropout: probability of zeroing a feature.
        drop_path: probability of zeroing a sample (stochastic depth).

    What is kept is scaled by 1 / (1 − p), so that the mean stays.

    Raises:
        ValueError: a probability is outside [0, 1).

    Source: Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016.

    >>> import torch
    >>> BranchDropout(0.1, 0.1)(torch.randn(2, 49, 32)).shape
    torch.Size([2, 49, 32])
    """

    def __init__(self, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        check_probability("drop_path", drop_path)
        self.dropout = dropout
        self.drop_path = drop_path

    def forward(self, branch: Tensor) -> Tensor:
        """Map `(B, …)` to the same shape."""
        branch = F.dropout(branch, self.dropout, self.training)
        if not self.training or self.drop_path == 0:
            return branch
        kept = branch.new_empty([branch.shape[0]] + [1] * (branch.dim() - 1))
        return branch * kept.bernoulli_(1 - self.drop_path).div_(1 - self.drop_path)

    def extra_repr(self) -> str:
        """Show the probabilities where the module is printed."""
        return f"dropout={self.dropout}, drop_path={self.drop_path}"
