"""Cross-diffusion attention: the public operation."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

from mutualformer.errors import UserError
from mutualformer.ops.cross_diffusion import (
    flops,  # noqa: F401  (torch counts by it)
    interleaved,
)
from mutualformer.ops.cross_diffusion.backends import choose_backend
from mutualformer.ops.cross_diffusion.dense import cross_diffusion_dense
from mutualformer.ops.cross_diffusion.operator import (
    cross_diffusion_operator,
    operator_arguments,
    sort_tensors,
)
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, QueryKeyValue
from mutualformer.ops.cross_diffusion.stored import cross_diffusion_stored


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


def cross_diffusion(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    **options: Any,
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
        options: ``epsilon``, ``num_iterations``, ``initial_affinity``, ``affinity``, ``dropout_p``
            and ``backend``, as in :class:`CrossDiffusionOptions`.

    Returns:
        ``CrossDiffusionOutput(rgb, depth, rgb_from_depth, depth_from_rgb)``, each of the shape and
        dtype of ``query_rgb``.

    Raises:
        ValueError: an option is outside its range; shapes, dtypes or devices differ; N = 0; a
            backend cannot serve such tensors. The message names the argument, what it is and what
            was expected.

    Export: ``torch.onnx.export`` writes N × N affinities into its graph, but no N × N × N product,
    whatever the backend but ``"dense"``.

    Transforms: ``torch.func.vmap`` and ``torch.compile`` serve all backends; ``torch.func.grad``
    and second derivatives ``"dense"`` alone. FlopCounterMode counts the products of the backend.

    Numerics: half precision is accumulated in float32 and rounded once at the end, also under
    autocast; GPU kernels, and ``"flex"`` everywhere, round what enters a matrix product as well.

    Cost: per head, dense O(T N³) time, O(N²) memory; matrix-free O(T N² D) time, O(N D) memory
    times T up to 8 steps, and times the logarithm of T beyond (``"flex"``: its root).

    Source: MutualFormer, arXiv 2112.01177, cross-diffusion attention. The paper's figure multiplies
    S_rd with V_r; rows index RGB tokens and columns depth tokens, so we multiply with V_d, as the
    authors' code does.

    >>> tensors = [torch.randn(2, 4, 49, 8) for _ in range(6)]
    >>> out = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)
    >>> out.rgb_from_depth.shape
    torch.Size([2, 4, 49, 8])
    """
    return diffuse_across(
        QueryKeyValue(query_rgb, key_rgb, value_rgb),
        QueryKeyValue(query_depth, key_depth, value_depth),
        CrossDiffusionOptions(**options),
    )


def diffuse_across(
    rgb: QueryKeyValue, depth: QueryKeyValue, options: CrossDiffusionOptions
) -> CrossDiffusionOutput:
    """Compute :func:`cross_diffusion` of what travels together already."""
    _check_tensors(rgb, depth)
    shape, dtype, device = rgb.query.shape, rgb.query.dtype, rgb.query.device
    with_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (*rgb, *depth))
    choice = choose_backend(
        device, dtype, shape[-1], with_gradient=with_gradient, backend=options.backend
    )
    options = replace(options.resolve(dtype), backend=choice.backend)
    if options.dropout_p > 0:
        rgb, depth = (
            x._replace(
                value=x.value * F.dropout(torch.ones_like(x.value[..., :1]), options.dropout_p)
            )
            for x in (rgb, depth)
        )
    if options.backend == "dense":
        return CrossDiffusionOutput(*cross_diffusion_dense(rgb, depth, options))
    tensors = [tensor.reshape(-1, *shape[-2:]) for tensor in (*rgb, *depth)]
    if not with_gradient:
        tensors = [tensor.detach() for tensor in tensors]  # torch's flex_attention asks each
    # ONNX has no operator of ours, so its graphs hold the affinities, whatever the backend.
    if torch.onnx.is_in_onnx_export():
        outputs = cross_diffusion_stored(*tensors, *operator_arguments(options))
    elif options.backend == "flex" and not _is_watched(device) and tensors[0].numel():
        outputs = _compose(tensors, options)
    else:  # also without an image, which torch's kernels refuse: there is nothing to compute
        outputs = cross_diffusion_operator(*tensors, *operator_arguments(options))
    return CrossDiffusionOutput(*(output.to(dtype).reshape(shape) for output in outputs[:4]))


def _compose(tensors: list[Tensor], options: CrossDiffusionOptions) -> list[Tensor]:
    """Compute by products that autograd differentiates."""
    from mutualformer.ops.cross_diffusion import differentiable  # which loads torch's compiler

    # A graph of torch.compile breaks where its compiler lacks the log-sum-exp, on a CPU, or would
    # take minutes. On a GPU the products are compiled all the same, each on its own.
    is_one_graph = (
        tensors[0].device.type != "cpu" and options.num_steps <= interleaved.MAX_ITERATIONS
    )
    forward = differentiable.forward if is_one_graph else differentiable.forward_uncompiled
    with torch.autocast(tensors[0].device.type, enabled=False):
        return forward(options, *sort_tensors(tensors, options.backend))


def _is_watched(device: torch.device) -> bool:
    """Tell whether one operator is wanted, of which all is known without a look into it.

    How many FLOPs it takes, what comes of tensors without data, and how it is mapped over a further
    dimension. The operator computes by row blocks then, and its FLOPs are those of the backend.
    """
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting()
    return (
        device.type == "meta"
        or _get_current_dispatch_mode() is not None
        or torch._C._are_functorch_transforms_active()
    )


def _check_tensors(rgb: QueryKeyValue, depth: QueryKeyValue) -> None:
    first = rgb.query
    if first.dim() < 2 or 0 in first.shape[-2:]:
        raise UserError(
            f"query_rgb has shape {tuple(first.shape)}, expected (..., N, D) with N, D >= 1"
        )
    if not first.is_floating_point():
        raise UserError(f"query_rgb has dtype {first.dtype}, expected a floating-point dtype")
    for modality, tensors in (("rgb", rgb), ("depth", depth)):
        for name, tensor in tensors._asdict().items():
            for what, got, expected in (
                ("shape", tuple(tensor.shape), tuple(first.shape)),
                ("dtype", tensor.dtype, first.dtype),
                ("device", tensor.device, first.device),
            ):
                if got != expected:
                    raise UserError(
                        f"{name}_{modality} has {what} {got}, expected {expected}, the {what} of "
                        "query_rgb"
                    )
