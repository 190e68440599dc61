"""Cross-diffusion attention: the public operation."""

from typing import Literal, NamedTuple, get_args

from torch import Tensor

from mutualformer.ops.cross_diffusion_dense import cross_diffusion_dense

InitialAffinity = Literal["identity", "average", "cross"]
Affinity = Literal["softmax", "symmetric"]
Backend = Literal["auto", "dense"]


class CrossDiffusionOutput(NamedTuple):
    """What each modality reads from itself and from the other, each `(..., N, D)`."""

    rgb: Tensor
    """M_r, self-attention of RGB."""
    depth: Tensor
    """M_d, self-attention of depth."""
    rgb_from_depth: Tensor
    """M_rd: rows are RGB tokens, values come from depth."""
    depth_from_rgb: Tensor
    """M_dr: rows are depth tokens, values come from RGB."""


def check_cross_diffusion_options(
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> None:
    """Raise ``ValueError`` for an option that ``cross_diffusion`` would reject.

    Modules call this when they are built, so that a typing error surfaces before any data is read.
    """
    if not 0 <= epsilon < 1:
        raise ValueError(
            f"epsilon is {epsilon}, expected 0 <= epsilon < 1 (0 turns the diffusion off; "
            "at 1 the recurrence has no limit)"
        )
    if isinstance(num_iterations, bool) or not isinstance(num_iterations, int):
        raise ValueError(f"num_iterations is {num_iterations!r}, expected an integer >= 0")
    if num_iterations < 0:
        raise ValueError(f"num_iterations is {num_iterations}, expected an integer >= 0")
    for name, value, choices in (
        ("initial_affinity", initial_affinity, get_args(InitialAffinity)),
        ("affinity", affinity, get_args(Affinity)),
        ("backend", backend, get_args(Backend)),
    ):
        if value not in choices:
            raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    first_name, first = next(iter(tensors.items()))
    if first.dim() < 2 or 0 in first.shape[-2:]:
        raise ValueError(
            f"{first_name} has shape {tuple(first.shape)}, expected (..., N, D) with N, D >= 1"
        )
    if not first.is_floating_point():
        raise ValueError(f"{first_name} has dtype {first.dtype}, expected a floating-point dtype")
    for name, tensor in tensors.items():
        for what, got, expected in (
            ("shape", tuple(tensor.shape), tuple(first.shape)),
            ("dtype", tensor.dtype, first.dtype),
            ("device", tensor.device, first.device),
        ):
            if got != expected:
                raise ValueError(
                    f"{name} has {what} {got}, expected {expected}, the {what} of {first_name}"
                )


def cross_diffusion(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    *,
    epsilon: float,
    num_iterations: int,
    initial_affinity: InitialAffinity = "identity",
    affinity: Affinity = "softmax",
    backend: Backend = "auto",
) -> CrossDiffusionOutput:
    """Attend within each modality, and between the two by diffusing one affinity into the other.

        S_m = softmax(Q_m K_mᵀ / √D),   M_m = S_m V_m                     m = r (RGB), d (depth)
        S_rd^(t+1) = ε Ŝ_r S_rd^(t) Ŝ_dᵀ + (1 − ε) A,   A = ½ (Ŝ_r + Ŝ_d)
        M_rd = S_rd^(T) V_d,   and M_dr with r and d exchanged

    No RGB query is ever compared with a depth key, unless ``initial_affinity="cross"`` asks for
    it.

    Args:
        query_rgb: Q_r, `(B, H, N, D)`; any leading shape is accepted.
        key_rgb: K_r, as ``query_rgb``.
        value_rgb: V_r, as ``query_rgb``.
        query_depth: Q_d, as ``query_rgb``.
        key_depth: K_d, as ``query_rgb``.
        value_depth: V_d, as ``query_rgb``.
        epsilon: strength ε of the diffusion, 0 <= ε < 1. At 0, M_rd = A V_d (for T >= 1).
        num_iterations: number T of diffusion steps, >= 0. At 0, M_rd = S_rd^(0) V_d.
        initial_affinity: S_rd^(0) and S_dr^(0): ``"identity"``, ``"average"`` (A), or ``"cross"``
            (softmax(Q_r K_dᵀ/√D) and softmax(Q_d K_rᵀ/√D), which diffusion then refines).
        affinity: ``"softmax"``: Ŝ_m = S_m, whose rows sum to one, so that D^(−1/2) S_m D^(−1/2)
            changes nothing. ``"symmetric"``: Ŝ_m = D^(−1/2) exp(Q_m K_mᵀ/√D) D^(−1/2), as RDP
            normalises; its entries reach exp(½ (max lse − min lse)), which overflows float32
            when row log-sum-exps differ by more than about 170. Self-attention M_m reads through
            the softmax in both cases.
        backend: ``"dense"`` forms the N × N affinities; ``"auto"`` picks the best that is there.

    Returns:
        ``CrossDiffusionOutput(rgb, depth, rgb_from_depth, depth_from_rgb)``, each of the shape and
        dtype of ``query_rgb``.

    Raises:
        ValueError: an option outside its range; shapes, dtypes or devices that differ; N = 0. The
            message names the argument, what it is and what was expected.

    Half precision is accumulated in float32 and rounded once at the end, also under autocast.
    Dense cost: O(T N³ + N² D) time and O(N²) memory per head.

    Source: MutualFormer, arXiv 2112.01177, cross-diffusion attention. The paper's figure multiplies
    S_rd with V_r; rows index RGB tokens and columns depth tokens, so we multiply with V_d, as the
    authors' code does.

    >>> import torch
    >>> tensors = [torch.randn(2, 4, 49, 8) for _ in range(6)]
    >>> out = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)
    >>> out.rgb_from_depth.shape
    torch.Size([2, 4, 49, 8])
    """
    check_cross_diffusion_options(epsilon, num_iterations, initial_affinity, affinity, backend)
    tensors = {
        "query_rgb": query_rgb,
        "key_rgb": key_rgb,
        "value_rgb": value_rgb,
        "query_depth": query_depth,
        "key_depth": key_depth,
        "value_depth": value_depth,
    }
    _check_tensors(tensors)
    return CrossDiffusionOutput(
        *cross_diffusion_dense(
            *tensors.values(),
            epsilon=epsilon,
            num_iterations=num_iterations,
            initial_affinity=initial_affinity,
            affinity=affinity,
        )
    )
