"""Matrix-free cross-diffusion as one opaque operator of torch, with gradients of its own.

Being opaque, it works under ``torch.compile`` and ``torch.export`` without a graph break.
"""

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.triton.triton_affinity import TritonAffinity
from mutualformer.ops.cross_diffusion import checkpointed, interleaved
from mutualformer.ops.cross_diffusion.options import Options, accumulation_dtype

AFFINITIES: dict[str, Callable[..., RowBlockAffinity]] = {
    "matrix_free": RowBlockAffinity,
    "triton": TritonAffinity,
}
"""How a backend multiplies with an affinity."""


def choose_form(options: Options) -> ModuleType:
    """Choose the module whose ``forward`` and ``backward`` serve: fewest passes, if it can."""
    few = 1 <= options.num_iterations <= interleaved.MAX_ITERATIONS
    if few and options.affinity == "softmax":
        return interleaved
    return checkpointed


@torch.library.custom_op("mutualformer::cross_diffusion", mutates_args=())
def cross_diffusion_operator(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> list[Tensor]:
    """Compute M_r, M_d, M_rd, M_dr, each `(G, N, D)`, and what the gradients need of them.

    All of it is at least float32, whatever the inputs are.
    Arguments as in :func:`mutualformer.cross_diffusion`, with one leading dimension G.
    """
    tensors = (query_rgb, key_rgb, value_rgb, query_depth, key_depth, value_depth)
    options = Options(epsilon, num_iterations, initial_affinity, affinity, AFFINITIES[backend])
    with torch.autocast(query_rgb.device.type, enabled=False):
        outputs, saved = choose_form(options).forward(options, *_pairs(tensors, backend))
    return [*outputs, *saved]


@cross_diffusion_operator.register_fake
def _(
    query_rgb: Tensor,
    key_rgb: Tensor,
    value_rgb: Tensor,
    query_depth: Tensor,
    key_depth: Tensor,
    value_depth: Tensor,
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> list[Tensor]:
    options = Options(epsilon, num_iterations, initial_affinity, affinity)
    tokens = query_rgb.new_empty(query_rgb.shape, dtype=accumulation_dtype(query_rgb.dtype))
    log_sum_exp = tokens.new_empty(query_rgb.shape[:2])
    states = [torch.empty_like(tokens) for _ in range(4 + choose_form(options).num_states(options))]
    return [*states[:4], torch.empty_like(log_sum_exp), log_sum_exp, *states[4:]]


@torch.library.custom_op("mutualformer::cross_diffusion_backward", mutates_args=())
def cross_diffusion_backward_operator(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> list[Tensor]:
    """Compute the gradients of the six inputs from those of the four outputs."""
    options = Options(epsilon, num_iterations, initial_affinity, affinity, AFFINITIES[backend])
    dtype = inputs[0].dtype
    with torch.autocast(inputs[0].device.type, enabled=False):
        queries, keys, values = choose_form(options).backward(
            options, *_pairs(inputs, backend), outputs[:4], outputs[4:], list(cotangents)
        )
        root = inputs[0].shape[-1] ** 0.5
        gradients = (queries[0] / root, keys[0], values[0], queries[1] / root, keys[1], values[1])
        return [gradient.to(dtype) for gradient in gradients]


@cross_diffusion_backward_operator.register_fake
def _(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    epsilon: float,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    backend: str,
) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs]


def _refuse_second_derivative(ctx, *_gradients) -> None:  # noqa: ANN001
    raise RuntimeError(
        "the matrix-free backends of cross_diffusion have first derivatives only; "
        "use backend='dense' for second derivatives"
    )


cross_diffusion_backward_operator.register_autograd(_refuse_second_derivative)


def _pairs(
    tensors: Sequence[Tensor], backend: str
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Sort the six inputs to queries, keys and values, prepared as the backend expects them.

    In the dtype of sums, queries divided by √D; but GPU kernels compare queries and keys in their
    own dtype and divide the logits, because the quotient could not be rounded without an error.
    """
    dtype = accumulation_dtype(tensors[0].dtype)
    q_r, k_r, v_r, q_d, k_d, v_d = tensors
    queries, keys = [q_r, q_d], [k_r, k_d]
    if backend != "triton":
        root = q_r.shape[-1] ** 0.5
        queries = [query.to(dtype) / root for query in queries]
        keys = [key.to(dtype) for key in keys]
    return queries, keys, [v_r.to(dtype), v_d.to(dtype)]


def _setup_context(ctx, inputs, output) -> None:  # noqa: ANN001
    *tensors, ctx.epsilon, ctx.num_iterations, ctx.initial_affinity, ctx.affinity, ctx.backend = (
        inputs
    )
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx, cotangents: Sequence[Tensor | None]):  # noqa: ANN001, ANN202
    tensors = ctx.saved_tensors
    outputs = tensors[6:]
    filled = [
        torch.zeros_like(output) if cotangent is None else cotangent
        for output, cotangent in zip(outputs[:4], cotangents[:4], strict=True)
    ]
    gradients = cross_diffusion_backward_operator(
        tensors[:6],
        outputs,
        filled,
        ctx.epsilon,
        ctx.num_iterations,
        ctx.initial_affinity,
        ctx.affinity,
        ctx.backend,
    )
    return (*gradients, None, None, None, None, None)


cross_diffusion_operator.register_autograd(_backward, setup_context=_setup_context)
