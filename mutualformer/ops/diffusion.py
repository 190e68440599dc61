"""The diffusion recurrence S ← ε L S Rᵀ + (1 − ε) Y and its limit, on explicit N × N matrices."""

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
        S^(T), `(..., N, N)`, in the dtype of the inputs. Cost O(T N³) time, O(N²) memory per step.

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
        S*, `(N, N)`. The system has N² unknowns, so this is for checking small cases: O(N⁶) time.

    Source: Bai et al., "Regularized Diffusion Process for Visual Retrieval", AAAI 2017.

    >>> diffusion_limit(*[torch.eye(3)] * 3, epsilon=0.5).shape
    torch.Size([3, 3])
    """
    size = target.shape[-1]
    system = torch.eye(size * size, dtype=target.dtype, device=target.device)
    system = system - epsilon * torch.kron(right, left)
    # vec stacks columns, torch flattens rows: hence the transposes.
    solution = torch.linalg.solve(system, (1 - epsilon) * target.mT.reshape(-1))
    return solution.reshape(size, size).mT
