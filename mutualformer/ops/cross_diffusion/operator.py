"""Matrix-free cross-diffusion as one opaque operator of torch, with gradients of its own.

Being opaque, it works under ``torch.compile`` and ``torch.export`` without a graph break.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mutualformer.ops.affinity.tensors import Pair, accumulation_dtype
from mutualformer.ops.cross_diffusion import checkpointed, interleaved
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions

_TENSORS = ("query_rgb", "key_rgb", "value_rgb", "query_depth", "key_depth", "value_depth")
# All options but the last: dropout is drawn before.
_TYPES: dict[str, type] = {x.name: type(x.default) for x in fields(CrossDiffusionOptions)[:-1]}
_OPTIONS = ", ".join(f"{kind.__name__} {name}" for name, kind in _TYPES.items())


def operator_arguments(options: CrossDiffusionOptions) -> list[Any]:
    """Return resolved options as the operator takes them.

    >>> operator_arguments(CrossDiffusionOptions().resolve(torch.float32))
    [0.6, 1, 'identity', 'softmax', 'auto']
    """
    return [kind(getattr(options, name)) for name, kind in _TYPES.items()]


def _options(arguments: Sequence[Any]) -> CrossDiffusionOptions:
    """Take the options as they came; but autograd is off in here, so row blocks stand for flex."""
    options = CrossDiffusionOptions(*arguments)
    return replace(options, backend="matrix_free") if options.backend == "flex" else options


def choose_form(options: CrossDiffusionOptions) -> ModuleType:
    """Choose the module whose ``forward`` and ``backward`` serve: fewest passes, if it can."""
    return interleaved if interleaved.serves(options) else checkpointed


@torch.library.custom_op(
    "mutualformer::cross_diffusion",
    mutates_args=(),
    schema=f"({', '.join(f'Tensor {name}' for name in _TENSORS)}, {_OPTIONS}) -> Tensor[]",
)
def cross_diffusion_operator(*arguments: Any) -> list[Tensor]:
    """Compute M_r, M_d, M_rd, M_dr, each `(G, N, D)`, and what the gradients need of them.

    All of it is at least float32, whatever the inputs are.
    Arguments as in :func:`mutualformer.cross_diffusion`, with one leading dimension G.
    """
    tensors, options = arguments[:6], _options(arguments[6:])
    with torch.autocast(tensors[0].device.type, enabled=False):
        pairs = sort_tensors(tensors, options.backend)
        outputs, saved = choose_form(options).forward(options, *pairs)
    return [*outputs, *saved]


@cross_diffusion_operator.register_fake
def _(*arguments: Any) -> list[Tensor]:
    query, options = arguments[0], CrossDiffusionOptions(*arguments[6:])
    tokens = query.new_empty(query.shape, dtype=accumulation_dtype(query.dtype))
    log_sum_exp = tokens.new_empty(query.shape[:2])
    states = [torch.empty_like(tokens) for _ in range(4 + choose_form(options).num_states(options))]
    return [*states[:4], torch.empty_like(log_sum_exp), log_sum_exp, *states[4:]]


@torch.library.custom_op(
    "mutualformer::cross_diffusion_backward",
    mutates_args=(),
    schema=f"(Tensor[] inputs, Tensor[] outputs, Tensor[] cotangents, {_OPTIONS}) -> Tensor[]",
)
def cross_diffusion_backward_operator(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    *arguments: Any,
) -> list[Tensor]:
    """Compute the gradients of the six inputs from those of the four outputs."""
    options = _options(arguments)
    dtype = inputs[0].dtype
    with torch.autocast(inputs[0].device.type, enabled=False):
        pairs = sort_tensors(inputs, options.backend)
        queries, keys, values = choose_form(options).backward(
            options, *pairs, outputs[:4], outputs[4:], list(cotangents)
        )
        root = inputs[0].shape[-1] ** 0.5
        gradients = (queries[0] / root, keys[0], values[0], queries[1] / root, keys[1], values[1])
        return [gradient.to(dtype) for gradient in gradients]


@cross_diffusion_backward_operator.register_fake
def _(inputs: Sequence[Tensor], *_arguments: Any) -> list[Tensor]:
    return [torch.empty_like(tensor, memory_format=torch.contiguous_format) for tensor in inputs]


def _refuse_second_derivative(ctx, *_gradients) -> None:  # noqa: ANN001
    raise RuntimeError(
        "the matrix-free backends of cross_diffusion have first derivatives only; "
        "use backend='dense' for second derivatives"
    )


@cross_diffusion_operator.register_vmap
def _(info, in_dims, *arguments: Any) -> tuple[list[Tensor], list[int]]:  # noqa: ANN001
    # Samples are as independent of each other as heads are, so they join the leading dimension.
    size = info.batch_size
    tensors = [
        (x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)).flatten(0, 1)
        for x, dim in zip(arguments[:6], in_dims[:6], strict=True)
    ]
    outputs = cross_diffusion_operator(*tensors, *arguments[6:])
    return [x.unflatten(0, (size, -1)) for x in outputs], [0] * len(outputs)


cross_diffusion_backward_operator.register_autograd(_refuse_second_derivative)


def sort_tensors(tensors: Sequence[Tensor], backend: str) -> tuple[Pair, Pair, Pair]:
    """Sort the six inputs to queries, keys and values, prepared as the backend expects them.

    In the dtype of sums, queries divided by √D; but GPU kernels, torch's and ours, compare queries
    and keys in their own dtype and divide the logits, because the quotient could not be rounded
    without an error.
    """
    dtype = accumulation_dtype(tensors[0].dtype)
    q_r, k_r, v_r, q_d, k_d, v_d = tensors
    queries, keys = [q_r, q_d], [k_r, k_d]
    if backend not in ("flex", "triton"):
        root = q_r.shape[-1] ** 0.5
        queries = [query.to(dtype) / root for query in queries]
        keys = [key.to(dtype) for key in keys]
    return queries, keys, [v_r.to(dtype), v_d.to(dtype)]


def _setup_context(ctx, inputs, output) -> None:  # noqa: ANN001
    ctx.options = inputs[6:]
    ctx.save_for_backward(*inputs[:6], *output)


def _backward(ctx, cotangents: Sequence[Tensor | None]):  # noqa: ANN001, ANN202
    inputs, outputs = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
    filled = [
        torch.zeros_like(output) if cotangent is None else cotangent
        for output, cotangent in zip(outputs[:4], cotangents[:4], strict=True)
    ]
    gradients = cross_diffusion_backward_operator(inputs, outputs, filled, *ctx.options)
    return (*gradients, *(None for _ in ctx.options))


cross_diffusion_operator.register_autograd(_backward, setup_context=_setup_context)
