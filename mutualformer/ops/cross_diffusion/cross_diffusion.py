"""Cross-diffusion attention: the public operation."""

import math
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from mutualformer.errors import UserError
from mutualformer.ops.affinity.triton.triton_affinity import triton_refusal
from mutualformer.ops.cross_diffusion.dense import cross_diffusion_dense
from mutualformer.ops.cross_diffusion.operator import cross_diffusion_operator

InitialAffinity = Literal["identity", "average", "cross"]
Affinity = Literal["softmax", "symmetric"]
NumIterations = int | Literal["inf"]
Backend = Literal["auto", "dense", "matrix_free", "triton"]


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
    num_iterations: NumIterations | float,
    initial_affinity: str,
    affinity: str,
    backend: str,
    dropout_p: float = 0.0,
) -> None:
    """Raise ``ValueError`` for an option that ``cross_diffusion`` would reject.

    Modules call this when they are built, so that a typing error surfaces before any data is read.
    """
    if not 0 <= epsilon < 1:
        raise UserError(
            f"epsilon is {epsilon}, expected 0 <= epsilon < 1 (0 turns the diffusion off; "
            "at 1 the recurrence has no limit)"
        )
    if isinstance(num_iterations, int) and not isinstance(num_iterations, bool):
        valid = num_iterations >= 0
    else:
        valid = num_iterations in ("inf", math.inf)
    if not valid:
        raise UserError(f"num_iterations is {num_iterations!r}, expected an integer >= 0 or 'inf'")
    for name, value, choices in (
        ("initial_affinity", initial_affinity, get_args(InitialAffinity)),
        ("affinity", affinity, get_args(Affinity)),
        ("backend", backend, get_args(Backend)),
    ):
        if value not in choices:
            raise UserError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
    if not 0 <= dropout_p < 1:
        raise UserError(f"dropout_p is {dropout_p}, expected 0 <= dropout_p < 1")


def _check_tensors(tensors: dict[str, Tensor]) -> None:
    first_name, first = next(iter(tensors.items()))
    if first.dim() < 2 or 0 in first.shape[-2:]:
        raise UserError(
            f"{first_name} has shape {tuple(first.shape)}, expected (..., N, D) with N, D >= 1"
        )
    if not first.is_floating_point():
        raise UserError(f"{first_name} has dtype {first.dtype}, expected a floating-point dtype")
    for name, tensor in tensors.items():
        for what, got, expected in (
            ("shape", tuple(tensor.shape), tuple(first.shape)),
            ("dtype", tensor.dtype, first.dtype),
            ("device", tensor.device, first.device),
        ):
            if got != expected:
                raise UserError(
                    f"{name} has {what} {got}, expected {expected}, the {what} of {first_name}"
                )


def choose_backend(query: Tensor, backend: Backend) -> Backend:
    """Replace ``"auto"`` by the best backend that is proven, and refuse what cannot serve.

    The GPU kernels have run in Triton's interpreter only, so they are not chosen unasked.

    >>> choose_backend(torch.zeros(1, 4, 8), "auto")
    'matrix_free'
    """
    if backend == "auto":
        return "matrix_free"
    if backend == "triton":
        refusal = triton_refusal(query)
        if refusal is not None:
            raise UserError(f"backend 'triton' cannot serve: {refusal}")
    return backend


def num_iterations_to_converge(epsilon: float, dtype: torch.dtype) -> int:
    """Return the smallest T >= 1 with ε^T <= 1e-7, or 1e-14 in float64.

    >>> num_iterations_to_converge(0.6, torch.float32)
    32
    """
    tolerance = 1e-14 if dtype == torch.float64 else 1e-7
    return 1 if epsilon <= tolerance else math.ceil(math.log(tolerance) / math.log(epsilon))


def cross_diffusion(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    *,
    epsilon: float,
    num_iterations: NumIterations | float,
    initial_affinity: InitialAffinity = "identity",
    affinity: Affinity = "softmax",
    dropout_p: float = 0.0,
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
        num_iterations: number T of diffusion steps, >= 0. At 0, M_rd = S_rd^(0) V_d. ``"inf"`` (or
            ``math.inf``) is the fixed point: as many steps as bring ε^T, the rate at which the
            error shrinks, to 1e-7 (1e-14 in float64).
        initial_affinity: S_rd^(0) and S_dr^(0): ``"identity"``, ``"average"`` (A), or ``"cross"``
            (softmax(Q_r K_dᵀ/√D) and softmax(Q_d K_rᵀ/√D), which diffusion then refines).
        affinity: ``"softmax"``: Ŝ_m = S_m, whose rows sum to one, so that D^(−1/2) S_m D^(−1/2)
            changes nothing. ``"symmetric"``: Ŝ_m = D^(−1/2) exp(Q_m K_mᵀ/√D) D^(−1/2), as RDP
            normalises; its entries reach exp(½ (max lse − min lse)), which overflows float32
            when row log-sum-exps differ by more than about 170. Self-attention M_m reads through
            the softmax in both cases.
        dropout_p: probability of hiding a token's value, drawn once per image, head and modality
            and applied wherever that modality is read (columns of S_m and of S_·m are dropped as
            a whole); the others are scaled by 1 / (1 − p). The diffusion itself sees no dropout.
        backend: ``"dense"`` forms the N × N affinities: the reference, differentiable twice.
            ``"matrix_free"`` recomputes them in row blocks, forward and backward. ``"triton"``
            does so inside GPU kernels, on a CUDA device, in float32 or half precision, for
            D <= 128; they have not run on a GPU yet. ``"auto"`` is ``"matrix_free"``. A backend
            that is named never falls back to another.

    Returns:
        ``CrossDiffusionOutput(rgb, depth, rgb_from_depth, depth_from_rgb)``, each of the shape and
        dtype of ``query_rgb``.

    Raises:
        ValueError: an option outside its range; shapes, dtypes or devices that differ; N = 0; a
            backend that cannot serve such tensors. The message names the argument, what it is and
            what was expected.

    Half precision is accumulated in float32 and rounded once at the end, also under autocast; the
    GPU kernels round what enters a matrix product as well.
    Cost per head: dense O(T N³) time, O(N²) memory; matrix-free O(T N² D) time, O(N D) memory
    times T up to 8 steps, and times the logarithm of T beyond.

    Source: MutualFormer, arXiv 2112.01177, cross-diffusion attention. The paper's figure multiplies
    S_rd with V_r; rows index RGB tokens and columns depth tokens, so we multiply with V_d, as the
    authors' code does.

    >>> import torch
    >>> tensors = [torch.randn(2, 4, 49, 8) for _ in range(6)]
    >>> out = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)
    >>> out.rgb_from_depth.shape
    torch.Size([2, 4, 49, 8])
    """
    check_cross_diffusion_options(
        epsilon, num_iterations, initial_affinity, affinity, backend, dropout_p
    )
    tensors = {
        "query_rgb": query_rgb,
        "key_rgb": key_rgb,
        "value_rgb": value_rgb,
        "query_depth": query_depth,
        "key_depth": key_depth,
        "value_depth": value_depth,
    }
    _check_tensors(tensors)
    if epsilon == 0 and num_iterations != 0:
        # One step forgets what came before: A, in one way of computing it, so that runs agree.
        num_iterations, initial_affinity = 0, "average"
    backend = choose_backend(query_rgb, backend)
    if dropout_p > 0:
        for name in ("value_rgb", "value_depth"):
            kept = F.dropout(torch.ones_like(tensors[name][..., :1]), dropout_p)
            tensors[name] = tensors[name] * kept
    shape, dtype = query_rgb.shape, query_rgb.dtype
    if isinstance(num_iterations, int):
        num_steps = num_iterations
    else:
        num_steps = num_iterations_to_converge(epsilon, dtype)
    if backend == "dense":
        return CrossDiffusionOutput(
            *cross_diffusion_dense(
                *tensors.values(),
                epsilon=epsilon,
                num_iterations=num_steps,
                initial_affinity=initial_affinity,
                affinity=affinity,
            )
        )
    flat = [tensor.reshape(-1, *shape[-2:]) for tensor in tensors.values()]
    outputs = cross_diffusion_operator(
        *flat, float(epsilon), num_steps, initial_affinity, affinity, backend
    )
    return CrossDiffusionOutput(*(output.to(dtype).reshape(shape) for output in outputs[:4]))


def cross_diffusion_residuals(
    *tensors: Tensor, epsilon: float, num_iterations: int, **options: Any
) -> Tensor:
    """Measure how far each iteration still moves what the modalities read from each other.

        ‖M^(t) − M^(t−1)‖ / ‖M^(t)‖,   t = 1 … T,   M = (M_rd, M_dr)

    Args:
        tensors: the six tensors of :func:`cross_diffusion`.
        epsilon: strength ε of the diffusion, 0 <= ε < 1.
        num_iterations: number T of residuals, >= 0.
        options: further options of :func:`cross_diffusion`.

    Returns:
        `(T,)`, in float64. Without gradients; O(T²) passes, so meant for ablations.

    >>> tensors = [torch.randn(1, 2, 16, 8) for _ in range(6)]
    >>> cross_diffusion_residuals(*tensors, epsilon=0.6, num_iterations=3).shape
    torch.Size([3])
    """
    residuals = []
    with torch.no_grad():
        previous = None
        for count in range(num_iterations + 1):
            output = cross_diffusion(*tensors, epsilon=epsilon, num_iterations=count, **options)
            current = torch.stack((output.rgb_from_depth, output.depth_from_rgb)).double()
            if previous is not None:
                residuals.append((current - previous).norm() / current.norm())
            previous = current
    return torch.stack(residuals) if residuals else torch.empty(0, dtype=torch.float64)
