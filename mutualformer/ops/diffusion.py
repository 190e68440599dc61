"""The diffusion S ← ε L S Rᵀ + (1 − ε) Y on explicit N × N matrices, its limit, and RDP."""

import torch
from torch import Tensor


def diffuse(
    left: Tensor,
    right: Tensor,
    target: Tensor,
    initial: Tensor,
    *,
    epsilon: float,
    num_iterations: int,
) -> Tensor:
    """Iterate the diffusion of an affinity from ``initial`` towards its limit.

        S^(t+1) = ε L S^(t) Rᵀ + (1 − ε) Y,    S^(0) = initial

    Args:
        left: L, `(..., N, N)`.
        right: R, `(..., N, N)`.
        target: Y, `(..., N, N)`, what every step pulls the state back to.
        initial: S^(0), `(..., N, N)`.
        epsilon: strength ε of the diffusion, in [0, 1).
        num_iterations: number T of steps; 0 returns ``initial`` itself.

    Returns:
        S^(T), `(..., N, N)`, in the dtype of the inputs.

    Cost: O(T N³) time, O(N²) memory.

    Source: MutualFormer (arXiv 2112.01177), the update of cross-diffusion attention; Bai et al.,
    AAAI 2017, where L = R.

    >>> diffuse(*[torch.eye(3)] * 4, epsilon=0.5, num_iterations=2).shape
    torch.Size([3, 3])
    """
    state = initial
    for _ in range(num_iterations):
        state = epsilon * (left @ state @ right.mT) + (1 - epsilon) * target
    return state


def diffusion_limit(left: Tensor, right: Tensor, target: Tensor, *, epsilon: float) -> Tensor:
    """Solve for the fixed point of :func:`diffuse` with one dense linear system.

        vec(S*) = (1 − ε) (I − ε R ⊗ L)⁻¹ vec(Y)

    The limit exists when ε ρ(L) ρ(R) < 1: for every ε < 1, if L and R are row-stochastic. It does
    not depend on the initial affinity.

    Args:
        left: L, `(N, N)`.
        right: R, `(N, N)`.
        target: Y, `(N, N)`.
        epsilon: strength ε of the diffusion, in [0, 1).

    Returns:
        S*, `(N, N)`.

    Cost: O(N⁶) time, for the system has N² unknowns; so this is for checking small cases.

    Source: Bai et al., "Regularized Diffusion Process for Visual Retrieval", AAAI 2017.

    >>> diffusion_limit(*[torch.eye(3)] * 3, epsilon=0.5).shape
    torch.Size([3, 3])
    """
    size = target.shape[-1]
    system = torch.eye(size * size, dtype=target.dtype, device=target.device)
    # torch.kron refuses transposed tensors.
    system = system - epsilon * torch.kron(right.contiguous(), left.contiguous())
    # vec stacks columns, torch flattens rows: hence the transposes.
    solution = torch.linalg.solve(system, (1 - epsilon) * target.mT.reshape(-1))
    return solution.reshape(size, size).mT


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
        A*, `(N, N)`; see :func:`diffusion_limit` for the cost.

    >>> regularized_diffusion_limit(torch.rand(5, 5), epsilon=0.6).shape
    torch.Size([5, 5])
    """
    normalized = normalize_symmetrically(similarity)
    target = normalized if target is None else target
    return diffusion_limit(normalized, normalized, target, epsilon=epsilon)
