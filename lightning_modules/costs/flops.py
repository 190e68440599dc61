"""Count the FLOPs of what runs, and refuse a count that leaves an operator out.

A FLOP is a multiplication or an addition of a matrix product or a convolution, as torch counts: two
per multiply-add. What works on single elements, sums, moves or compares them is free.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry, shape_wrapper

from lightning_modules.costs.free_operators import FREE_OPERATORS
from mutualformer.errors import UserError

Shape = Sequence[int]
aten = torch.ops.aten


def _product(_: Shape, left: Shape, right: Shape, **__: Any) -> int:
    """Count a product that is added to a tensor."""
    return 2 * prod(left) * right[-1]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Count QKᵀ and its product with V."""
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _attention_backward(
    _: Shape, query: Shape, key: Shape, value: Shape, *__: Any, **___: Any
) -> int:
    """Count QKᵀ, formed again, and the four products of the gradients."""
    return 2 * prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])


def _convolution_backward(
    gradient: Shape, inputs: Shape, weight: Shape, *arguments: Any, **_: Any
) -> int:
    """Count a convolution as large as that of the forward pass for each gradient that is asked.

    torch's formula takes a grouped convolution for a full one in the gradient of its weight.
    """
    transposed, of_inputs_weight_bias = arguments[4], arguments[7]
    once = conv_flop_count(list(inputs), list(weight), list(gradient), transposed)
    return once * sum(of_inputs_weight_bias[:2])


# What torch's registry lacks, or counts otherwise than it is.
_FORMULAS: dict[Any, Callable[..., int]] = {
    aten.addmm_: _product,
    aten._addmm_activation: _product,
    aten.baddbmm_: _product,
    aten.addbmm: _product,
    aten.addbmm_: _product,
    aten.addmv: lambda _, matrix, vector, **__: 2 * prod(matrix),
    aten.addmv_: lambda _, matrix, vector, **__: 2 * prod(matrix),
    aten.mv: lambda matrix, vector, **_: 2 * prod(matrix),
    aten.dot: lambda left, right, **_: 2 * prod(left),
    aten.vdot: lambda left, right, **_: 2 * prod(left),
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count_flops(run: Callable[[], object]) -> int:
    """Call a function and count the FLOPs of the operators that it runs, its backward included.

    The formulas are those of torch's ``FlopCounterMode``, whose hooks on modules would fail where
    one of them is given a parameter in evaluation.

    >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))  # 2 · 2 · 3 · 5
    60

    Raises:
        UserError: an operator has no formula and is none of those that are free; names it.
    """
    # torch's fused layers for inference would hide the products that they make.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _Counter() as counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.total


class _Counter(TorchDispatchMode):
    """Add up what formulas say, and refuse an operator of which nothing is known."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self._formulas = flop_registry | {x: shape_wrapper(y) for x, y in _FORMULAS.items()}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        formula = self._formulas.get(_packet(func))
        if formula is None and not _is_free(func):
            return self._take_apart(func, args, kwargs)
        output = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=output)
        return output

    def _take_apart(self, func: Any, args: Any, kwargs: Any) -> object:
        """Run an operator as those that it is made of, if it is."""
        if isinstance(func, OpOverload):
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        raise UserError(
            f"the operator {func} has no count of FLOPs, expected a formula: register one with "
            "torch.utils.flop_counter.register_flop_formula where the operator is defined (0 for "
            "one without products)"
        )


def _packet(func: Any) -> Any:
    return func._overloadpacket if isinstance(func, OpOverload) else func


def _is_free(func: OpOverload | HigherOrderOperator) -> bool:
    if not isinstance(func, OpOverload):
        return False
    namespace, name = func._schema.name.split("::")
    values = [*func._schema.arguments, *func._schema.returns]
    has_tensors = any("Tensor" in str(value.type) for value in values)
    if not has_tensors or namespace in ("prim", "prims", "profiler"):
        return True
    # Marks are missing from some operators that work in place.
    functional = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None)
    same = [func, *([] if functional is None else _overloads(functional))]
    if any(x.is_view or {torch.Tag.pointwise, torch.Tag.reduction} & {*x.tags} for x in same):
        return True
    return namespace == "aten" and name.rstrip("_") in FREE_OPERATORS


def _overloads(packet: Any) -> list[OpOverload]:
    return [getattr(packet, name) for name in packet.overloads()]
