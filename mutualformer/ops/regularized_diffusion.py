"""Regularized diffusion (RDP), the one-modality process that cross-diffusion attention extends."""

import torch
from torch import Tensor

from mutualformer.ops.diffusion import diffuse, diffusion_limit


def normalize_symmetrically(similarity: Tensor) -> Tensor:
    """Scale rows and columns of a similarity by its row sums: S = D^(−1/2) W D^(−1/2).

    A row-stochastic similarity (a softmax) is returned unchanged, since then D = I. The result has
    spectral radius 1 for any non-negative similarity, because it is similar to D⁻¹ W.

    Args:
        similarity: W, `(..., N, N)`, non-negative, with positive row sums.

    Returns:
        S, `(..., N, N)`.

    >>> normalize_symmetrically(torch.full((2, 2), 4.0))
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    scale = similarity.sum(dim=-1).rsqrt()
    return scale.unsqueeze(-1) * similarity * scale.unsqueeze(-2)


def regularized_diffusion(
    similarity: Tensor,
    *,
    epsilon: float,
    num_iterations: int,
    target: Tensor | None = None,
    initial: Tensor | None = None,
) -> Tensor:
    """Diffuse a similarity on itself.

        A^(t+1) = ε S A^(t) Sᵀ + (1 − ε) Y,    S = D^(−1/2) W D^(−1/2)

    Cross-diffusion attention with two equal modalities is this process.

    Args:
        similarity: W, `(..., N, N)`, non-negative, with positive row sums.
        epsilon: strength ε of the diffusion, in [0, 1).
        num_iterations: number T of steps.
        target: Y, `(..., N, N)`; S when not given, as in cross-diffusion attention.
        initial: A^(0), `(..., N, N)`; the identity when not given.

    Returns:
        A^(T), `(..., N, N)`.

    Source: Bai et al., "Regularized Diffusion Process for Visual Retrieval", AAAI 2017.

    >>> regularized_diffusion(torch.rand(5, 5), epsilon=0.6, num_iterations=3).shape
    torch.Size([5, 5])
    """
    normalized = normalize_symmetrically(similarity)
    if target is None:
        target = normalized
    if initial is None:
        size = similarity.shape[-1]
        initial = torch.eye(size, dtype=similarity.dtype, device=similarity.device)
        initial = initial.expand_as(similarity)
    return diffuse(
        normalized, normalized, target, initial, epsilon=epsilon, num_iterations=num_iterations
    )


def regularized_diffusion_limit(
    similarity: Tensor, *, epsilon: float, target: Tensor | None = None
) -> Tensor:
    """Compute the closed form of :func:`regularized_diffusion` after infinitely many steps.

    Args:
        similarity: W, `(N, N)`, non-negative, with positive row sums.
        epsilon: strength ε of the diffusion, in [0, 1).
        target: Y, `(N, N)`; S when not given.

    Returns:
        A*, `(N, N)`; see :func:`mutualformer.ops.diffusion.diffusion_limit` for the cost.

    >>> regularized_diffusion_limit(torch.rand(5, 5), epsilon=0.6).shape
    torch.Size([5, 5])
    """
    normalized = normalize_symmetrically(similarity)
    target = normalized if target is None else target
    return diffusion_limit(normalized, normalized, target, epsilon=epsilon)
