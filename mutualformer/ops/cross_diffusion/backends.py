"""Which backend serves which tensors, and why."""

from importlib.util import find_spec
from typing import NamedTuple

import torch

from mutualformer.errors import UserError
from mutualformer.ops.cross_diffusion.options import Backend

HALF_AND_SINGLE = (torch.float32, torch.float16, torch.bfloat16)
DTYPES = (torch.float64, *HALF_AND_SINGLE)
"""What the forms in plain PyTorch serve: torch multiplies no matrices of the narrower ones."""
MAX_WIDTH = 128
"""Widest head whose tiles fit into the registers and the shared memory of a GPU."""
TRITON_IS_INSTALLED = find_spec("triton") is not None
FIRST_TORCH = (2, 11)
"""Oldest torch whose FlexAttention was tried."""
TORCH = tuple(int(x) for x in torch.__version__.split(".")[:2])


class BackendChoice(NamedTuple):
    """The backend that computes, and why it is this one."""

    backend: Backend
    reason: str


def choose_backend(
    device: torch.device | str,
    dtype: torch.dtype,
    dim: int,
    *,
    with_gradient: bool = True,
    backend: Backend = "auto",
) -> BackendChoice:
    """Tell which backend :func:`mutualformer.cross_diffusion` takes for such tensors, and why.

    On a CUDA device ``"auto"`` is ``"flex"`` where torch supports it, and row blocks elsewhere. No
    backend has run on a GPU of ours yet, so that no measurement decides: torch's kernels do
    without our testing, and fail aloud, since they are compiled as a whole or not at all. What
    ``benchmarks/on_gpu.py`` measures is to decide anew.

    Args:
        device: where queries, keys and values are.
        dtype: what they are.
        dim: width D of a head.
        with_gradient: whether anything is to be differentiated.
        backend: what is asked for, as in :class:`mutualformer.ops.CrossDiffusionOptions`. Nothing
            that is asked for by name is replaced.

    Raises:
        ValueError: the dtype is no floating-point one that matrix products know, or the backend
            that is named cannot serve such tensors. The message says why, and what to use instead.

    >>> choose_backend("cpu", torch.float32, 64).backend
    'matrix_free'
    """
    device = torch.device(device)
    if dtype not in DTYPES:
        names = ", ".join(str(x).removeprefix("torch.") for x in DTYPES)
        raise UserError(f"the dtype is {dtype}, expected one of {names}: convert")
    if backend == "auto":
        if device.type != "cuda":
            return BackendChoice("matrix_free", f"on device {device.type} nothing else is faster")
        refusal = _refusal_of_flex(device, dtype, dim, with_gradient)
        if refusal is not None:
            return BackendChoice("matrix_free", f"backend 'flex' cannot serve: {refusal}")
        return BackendChoice(
            "flex", "torch compiles it to fused kernels for such a device, dtype and width"
        )
    refusals = {"flex": _refusal_of_flex, "triton": _refusal_of_triton}
    refusal = refusals[backend](device, dtype, dim, with_gradient) if backend in refusals else None
    if refusal is not None:
        raise UserError(
            f"backend '{backend}' cannot serve: {refusal}, or use backend='matrix_free'"
        )
    return BackendChoice(backend, "it was asked for by name")


def _refusal_of_flex(
    device: torch.device, dtype: torch.dtype, dim: int, with_gradient: bool
) -> str | None:
    """Say what torch's FlexAttention does not serve; it forms S, without a gradient, on a CPU."""
    if TORCH < FIRST_TORCH:
        oldest = ".".join(map(str, FIRST_TORCH))
        return f"torch is {torch.__version__}, expected {oldest} or later: update it"
    if device.type == "meta" or (device.type == "cpu" and not with_gradient):
        return None
    if device.type == "cpu":
        return (
            "torch's flex_attention has no gradient on device cpu, expected a CUDA device, or "
            "inference: call it under torch.no_grad()"
        )
    if device.type != "cuda":
        return f"the tensors are on device {device}, expected a CUDA device: move them"
    if not TRITON_IS_INSTALLED:
        return "triton cannot be imported, to which torch compiles: install it"
    from mutualformer.ops.affinity.flex_affinity import FIRST_CAPABILITY, is_too_old

    if is_too_old(device):
        return f"the GPU is older than compute capability {FIRST_CAPABILITY}"
    return _refusal_of_kernels(dtype, dim)


def _refusal_of_triton(
    device: torch.device, dtype: torch.dtype, dim: int, with_gradient: bool
) -> str | None:
    """Say what our own GPU kernels do not serve."""
    from mutualformer.unproven_triton.triton_affinity import is_interpreted

    if not TRITON_IS_INSTALLED:
        return "triton cannot be imported: install it"
    refusal = _refusal_of_kernels(dtype, dim)
    if refusal is None and device.type != "cuda" and not is_interpreted():
        return f"the tensors are on device {device}, expected a CUDA device: move them"
    return refusal


def _refusal_of_kernels(dtype: torch.dtype, dim: int) -> str | None:
    if dtype not in HALF_AND_SINGLE:
        return f"the dtype is {dtype}, expected float32, float16 or bfloat16: convert"
    if dim > MAX_WIDTH:
        return f"D = {dim}, expected at most {MAX_WIDTH}: use more heads"
    return None
