"""Products with a softmax affinity that is formed once and kept."""

from torch import Tensor

from mutualformer.ops.row_block_affinity import RowBlockAffinity


class StoredAffinity(RowBlockAffinity):
    """S = softmax(Q Kᵀ) of one modality as one N × N matrix, in operations that write nothing.

    For exporting a graph to ONNX, which has neither loops over blocks of a batch of unknown size
    nor results that are written in place. No gradients.

    Args:
        query: Q, `(G, N, D)`, divided by √D already.
        key: K, `(G, N, D)`.
        log_sum_exp: ignored, for it is computed anyway.
    """

    def __init__(self, query: Tensor, key: Tensor, log_sum_exp: Tensor | None = None) -> None:
        logits = query @ key.mT
        super().__init__(query, key, logits.logsumexp(-1))
        self.matrix = logits.softmax(-1)

    def products(
        self, right: Tensor | None = None, left: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return S X for ``right`` X `(G, N, E)` and Sᵀ Y for ``left`` Y, as far as given.

        >>> import torch
        >>> affinity = StoredAffinity(torch.randn(2, 49, 8), torch.randn(2, 49, 8))
        >>> affinity.products(right=torch.ones(2, 49, 1))[0].allclose(torch.ones(()))
        True
        """
        return (
            None if right is None else self.matrix @ right,
            None if left is None else self.matrix.mT @ left,
        )
