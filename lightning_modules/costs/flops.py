"""Count the FLOPs of what runs, and refuse a count that leaves an operator out.

A FLOP is a multiplication or an addition of a matrix product or a convolution, as torch counts: two
per multiply-add. What works on single elements, sums, moves or compares them is free.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch._ops import HigherOrderOperator, OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from mutualformer.errors import UserError

Shape = Sequence[int]
aten = torch.ops.aten

# Free, as pointwise operators are, which torch marks itself, and reductions and views.
_FREE = frozenset(
    # copies, new tensors, random numbers
    "_to_copy copy copy_ clone lift_fresh detach resize_ set_ _reshape_alias _unsafe_view"
    " view_copy empty empty_like empty_strided new_empty new_empty_strided new_zeros new_ones"
    " new_full zeros zeros_like ones ones_like full full_like scalar_tensor arange linspace eye"
    " zero_ fill_ bernoulli bernoulli_ uniform_ normal_ exponential_ rand rand_like randn"
    " randn_like randint randint_like randperm random_ native_dropout native_dropout_backward"
    " normal rrelu_with_noise multinomial _fused_dropout"
    # rearrangement, indexing, comparison of positions
    " cat stack split split_with_sizes chunk unbind repeat repeat_interleave tile roll flip rot90"
    " gather gather_backward scatter scatter_ scatter_add scatter_add_ scatter_reduce"
    " scatter_reduce_ index index_put index_put_ _unsafe_index _unsafe_index_put _index_put_impl_"
    " _unsafe_masked_index _unsafe_masked_index_put_accumulate index_select index_add index_add_"
    " index_copy index_fill index_fill_ index_reduce masked_fill masked_fill_ masked_scatter"
    " masked_scatter_ masked_select masked_select_backward take put nonzero topk sort argsort"
    " kthvalue unique_consecutive _unique2 searchsorted bucketize slice_backward slice_scatter"
    " select_backward select_scatter diagonal_backward diagonal_scatter diag_embed unfold_backward"
    " value_selecting_reduction_backward embedding embedding_dense_backward one_hot tril tril_"
    " triu triu_ tril_indices triu_indices trace constant_pad_nd reflection_pad1d"
    " reflection_pad1d_backward reflection_pad2d reflection_pad2d_backward replication_pad1d"
    " replication_pad1d_backward replication_pad2d replication_pad2d_backward pixel_shuffle"
    " pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im bincount histc"
    # sums along a dimension
    " cumsum cumprod cummax cummin logcumsumexp _softmax _softmax_backward_data _log_softmax"
    " _log_softmax_backward_data _safe_softmax logsumexp median nanmedian mode max min"
    " aminmax std_mean var_mean norm linalg_vector_norm _local_scalar_dense is_nonzero equal"
    " item isfinite nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward"
    # losses and activations that torch does not mark as pointwise
    " binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits mse_loss"
    " mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward"
    " soft_margin_loss soft_margin_loss_backward multi_margin_loss multi_margin_loss_backward"
    " multilabel_margin_loss_forward multilabel_margin_loss_backward log_sigmoid_forward"
    " log_sigmoid_backward _prelu_kernel _prelu_kernel_backward glu glu_backward hardswish"
    " hardswish_backward complex polar isin rrelu_with_noise_backward _masked_softmax"
    " _masked_softmax_backward _masked_scale _assert_async _is_all_true _is_any_true"
    " unsafe_split unsafe_split_with_sizes renorm"
    # an outer product has one multiplication per element, as a pointwise one
    " addr"
    # normalisation
    " native_batch_norm native_batch_norm_backward _native_batch_norm_legit"
    " _native_batch_norm_legit_no_training"
    " _native_batch_norm_legit_functional _batch_norm_with_update"
    " _batch_norm_with_update_functional _batch_norm_no_update batch_norm_backward"
    " cudnn_batch_norm cudnn_batch_norm_backward miopen_batch_norm miopen_batch_norm_backward"
    " native_layer_norm native_layer_norm_backward native_group_norm native_group_norm_backward"
    " _fused_rms_norm _fused_rms_norm_backward _weight_norm_interface"
    " _weight_norm_interface_backward"
    # pooling and interpolation
    " avg_pool1d avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d"
    " _adaptive_avg_pool2d_backward adaptive_max_pool2d adaptive_max_pool2d_backward"
    " max_pool2d_with_indices max_pool2d_with_indices_backward max_unpool2d"
    " upsample_nearest1d upsample_nearest1d_backward upsample_nearest2d"
    " upsample_nearest2d_backward _upsample_nearest_exact2d _upsample_nearest_exact2d_backward"
    " upsample_linear1d upsample_linear1d_backward upsample_bilinear2d"
    " upsample_bilinear2d_backward _upsample_bilinear2d_aa _upsample_bilinear2d_aa_backward"
    " upsample_bicubic2d upsample_bicubic2d_backward _upsample_bicubic2d_aa"
    " _upsample_bicubic2d_aa_backward grid_sampler_2d grid_sampler_2d_backward"
    " affine_grid_generator".split()
)


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
    aten.addmv: lambda _, matrix, vector, **__: 2 * prod(matrix),
    aten.mv: lambda matrix, vector, **_: 2 * prod(matrix),
    aten.dot: lambda left, right, **_: 2 * prod(left),
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def count_flops(run: Callable[[], object]) -> int:
    """Call a function and count the FLOPs of the operators that it runs, its backward included.

    >>> count_flops(lambda: torch.ones(2, 3) @ torch.ones(3, 5))  # 2 · 2 · 3 · 5
    60

    Raises:
        UserError: an operator has no formula and is none of those that are free; names it.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    # torch's fused layers for inference would hide the products that they make.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # Within the check the counter takes operators apart that are made of others.
        with _EveryOperatorCounts(counter.flop_registry), counter:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()


class _EveryOperatorCounts(TorchDispatchMode):
    """Refuse an operator of which nothing is known."""

    def __init__(self, formulas: Mapping[Any, Any]) -> None:
        super().__init__()
        self._formulas = formulas

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        if not (_packet(func) in self._formulas or _is_free(func)):
            raise UserError(
                f"the operator {func} has no count of FLOPs, expected a formula: register one with "
                "torch.utils.flop_counter.register_flop_formula where the operator is defined (0 "
                "for one without products)"
            )
        return func(*args, **(kwargs or {}))


def _packet(func: Any) -> Any:
    return func._overloadpacket if isinstance(func, OpOverload) else func


def _is_free(func: OpOverload | HigherOrderOperator) -> bool:
    if not isinstance(func, OpOverload):
        return False
    namespace, name = func._schema.name.split("::")
    if namespace in ("prim", "prims", "profiler"):
        return True
    # Marks are missing from some operators that work in place.
    functional = getattr(getattr(torch.ops, namespace), name.rstrip("_"), None)
    same = [func, *([] if functional is None else _overloads(functional))]
    if any(x.is_view or {torch.Tag.pointwise, torch.Tag.reduction} & {*x.tags} for x in same):
        return True
    return namespace == "aten" and bool({name, name.rstrip("_")} & _FREE)


def _overloads(packet: Any) -> list[OpOverload]:
    return [getattr(packet, name) for name in packet.overloads()]
