"""What the operator counts in torch's FlopCounterMode: the products that its forms really make."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import Pair
from mutualformer.ops.cross_diffusion.operator import (
    choose_form,
    sort_tensors,
)
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions

operators = torch.ops.mutualformer


@register_flop_formula(operators.cross_diffusion)
def forward_flops(*arguments: Any, **_: Any) -> int:
    """Count a forward pass from the shapes of the arguments of the operator.

    Every multiplication and addition of a matrix product, recomputed logits included; with our GPU
    kernels as if the row-block form had run, which recomputes less. As everywhere in torch's count,
    exponentials and sums are free.

    >>> shape = (1, 100, 8)
    >>> options = (0.6, 1, "identity", "softmax", "matrix_free")
    >>> forward_flops(*6 * [shape], *options) // (2 * 100 * 100 * 8)
    9
    """
    if arguments[-1] == "flex":
        return flex_flops(arguments[:6], arguments[6:])[0]
    tensors, options = _meta(arguments[:6]), _without_kernels(arguments[6:])
    return _count(lambda: choose_form(options).forward(options, *sort_tensors(tensors, "")))


@register_flop_formula(operators.cross_diffusion_backward)
def backward_flops(
    inputs: Sequence[torch.Size],
    outputs: Sequence[torch.Size],
    cotangents: Sequence[torch.Size],
    *arguments: Any,
    **_: Any,
) -> int:
    """Count a backward pass, in which affinities are formed again, in the same way."""
    if arguments[-1] == "flex":
        return flex_flops(inputs, arguments)[1]
    options, results = _without_kernels(arguments), _meta(outputs)
    pairs = sort_tensors(_meta(inputs), "")
    return _count(
        lambda: choose_form(options).backward(
            options, *pairs, results[:4], results[4:], _meta(cotangents)
        )
    )


def flex_flops(inputs: Sequence[torch.Size], arguments: Sequence[Any]) -> tuple[int, int]:
    """Count the calls of torch's FlexAttention in training: forward, backward.

    A product with E columns takes 2 N² (D + E) per head, and backward 2 N² (3 D + 2 E): the logits
    again, and the gradients of S, values, queries and keys.
    """
    from mutualformer.ops.affinity.flex_affinity import FlexAffinity, read
    from mutualformer.ops.cross_diffusion import differentiable

    columns: list[int] = []

    class CountedAffinity(FlexAffinity):
        def _call(self, function: Callable[..., Any], *tensors: Tensor) -> Any:
            columns.append(tensors[2].shape[-1])
            out = torch.empty_like(tensors[2])
            return (out, out[..., 0]) if function is read else out

    class CountedOptions(CrossDiffusionOptions):
        def affinities(
            self, queries: Pair, keys: Pair, log_sum_exps: Pair | None = None
        ) -> list[RowBlockAffinity]:
            return [CountedAffinity(*pair) for pair in zip(queries, keys, strict=True)]

    def forward(options: CrossDiffusionOptions) -> int:
        columns.clear()
        differentiable.forward(options, *sort_tensors(_meta(inputs), "flex"))
        return unit * sum(width + x for x in columns)

    heads, tokens, width = inputs[0]
    unit, options = 2 * heads * tokens**2, CountedOptions(*arguments)
    once = forward(options)
    gradients = unit * sum(3 * width + 2 * x for x in columns)
    if len(differentiable.stretches(options)) > 1:
        gradients += once - forward(replace(options, num_iterations=0))  # the steps, again
    return once, gradients


def _meta(shapes: Sequence[torch.Size]) -> list[Tensor]:
    return [torch.empty(shape, device="meta") for shape in shapes]


def _without_kernels(arguments: Sequence[Any]) -> CrossDiffusionOptions:
    return replace(CrossDiffusionOptions(*arguments), backend="matrix_free")


def _count(run: Callable[[], Any]) -> int:
    # torch knows the product that is added to a tensor, but not the one that is added in place.
    in_place = {torch.ops.aten.baddbmm_: _product_flops}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        run()
    return counter.get_total_flops()


def _product_flops(_: torch.Size, left: torch.Size, right: torch.Size, **__: Any) -> int:
    batch, rows, inner = left
    return 2 * batch * rows * inner * right[-1]
