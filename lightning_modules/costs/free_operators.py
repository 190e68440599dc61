"""Operators of torch that multiply nothing but single elements, beside those that it marks itself.

Operators that work in place, whose names end in an underscore, are those of the same name without.
"""

_KINDS = {
    "copies, new tensors, random numbers": """
        _to_copy copy clone lift_fresh detach resize set _reshape_alias _unsafe_view
        view_copy empty empty_like empty_strided new_empty new_empty_strided new_zeros
        new_ones new_full zeros zeros_like ones ones_like full full_like scalar_tensor
        arange linspace eye zero fill bernoulli uniform normal exponential rand rand_like
        randn randn_like randint randint_like randperm random native_dropout
        native_dropout_backward rrelu_with_noise multinomial _fused_dropout
    """,
    "rearrangement, indexing, comparison of positions": """
        cat stack split split_with_sizes chunk unbind repeat repeat_interleave tile roll
        flip rot90 gather gather_backward scatter scatter_add scatter_reduce index index_put
        _unsafe_index _unsafe_index_put _index_put_impl _unsafe_masked_index
        _unsafe_masked_index_put_accumulate index_select index_add index_copy index_fill
        index_reduce masked_fill masked_scatter masked_select masked_select_backward take
        put nonzero topk sort argsort kthvalue unique_consecutive _unique2 searchsorted
        bucketize slice_backward slice_scatter select_backward select_scatter
        diagonal_backward diagonal_scatter diag_embed unfold_backward
        value_selecting_reduction_backward embedding embedding_dense_backward one_hot tril
        triu tril_indices triu_indices trace constant_pad_nd reflection_pad1d
        reflection_pad1d_backward reflection_pad2d reflection_pad2d_backward
        replication_pad1d replication_pad1d_backward replication_pad2d
        replication_pad2d_backward pixel_shuffle pixel_unshuffle channel_shuffle
        native_channel_shuffle im2col col2im bincount histc
    """,
    "sums along a dimension": """
        cumsum cumprod cummax cummin logcumsumexp _softmax _softmax_backward_data
        _log_softmax _log_softmax_backward_data _safe_softmax logsumexp median nanmedian
        mode max min aminmax std_mean var_mean norm linalg_vector_norm _local_scalar_dense
        is_nonzero equal item isfinite nll_loss_forward nll_loss_backward nll_loss2d_forward
        nll_loss2d_backward
    """,
    "losses and activations that torch does not mark as pointwise": """
        binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits
        mse_loss mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss
        huber_loss_backward soft_margin_loss soft_margin_loss_backward multi_margin_loss
        multi_margin_loss_backward multilabel_margin_loss_forward
        multilabel_margin_loss_backward log_sigmoid_forward log_sigmoid_backward
        _prelu_kernel _prelu_kernel_backward glu glu_backward hardswish hardswish_backward
        complex polar isin rrelu_with_noise_backward _masked_softmax
        _masked_softmax_backward _masked_scale _assert_async _is_all_true _is_any_true
        unsafe_split unsafe_split_with_sizes renorm elu_backward
        hardshrink_backward hardsigmoid_backward hardtanh_backward leaky_relu_backward
        softplus_backward softshrink_backward floor_divide lift masked_scatter_backward
        _thnn_fused_gru_cell _thnn_fused_gru_cell_backward _thnn_fused_lstm_cell
        _thnn_fused_lstm_cell_backward_impl
    """,
    "an outer product has one multiplication per element, as a pointwise one": """
        addr
    """,
    "normalisation": """
        native_batch_norm native_batch_norm_backward _native_batch_norm_legit
        _native_batch_norm_legit_no_training _native_batch_norm_legit_functional
        _batch_norm_with_update _batch_norm_with_update_functional _batch_norm_no_update
        batch_norm_backward cudnn_batch_norm cudnn_batch_norm_backward miopen_batch_norm
        miopen_batch_norm_backward native_layer_norm native_layer_norm_backward
        native_group_norm native_group_norm_backward _fused_rms_norm
        _fused_rms_norm_backward _weight_norm_interface _weight_norm_interface_backward
    """,
    "pooling and interpolation": """
        avg_pool1d avg_pool2d avg_pool2d_backward _adaptive_avg_pool2d
        _adaptive_avg_pool2d_backward adaptive_max_pool2d adaptive_max_pool2d_backward
        max_pool2d_with_indices max_pool2d_with_indices_backward max_unpool2d
        upsample_nearest1d upsample_nearest1d_backward upsample_nearest2d
        upsample_nearest2d_backward _upsample_nearest_exact2d
        _upsample_nearest_exact2d_backward upsample_linear1d upsample_linear1d_backward
        upsample_bilinear2d upsample_bilinear2d_backward _upsample_bilinear2d_aa
        _upsample_bilinear2d_aa_backward upsample_bicubic2d upsample_bicubic2d_backward
        _upsample_bicubic2d_aa _upsample_bicubic2d_aa_backward grid_sampler_2d
        grid_sampler_2d_backward affine_grid_generator
    """,
}
FREE_OPERATORS = frozenset(name for names in _KINDS.values() for name in names.split())
