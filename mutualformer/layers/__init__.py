"""Layers with weights: attention and aggregation."""

from mutualformer.layers.aggregation import ConcatResidual, TokenConvolution
from mutualformer.layers.attention import CrossDiffusionAttention, QueryKeyValue, SelfAttention

__all__ = [
    "ConcatResidual",
    "CrossDiffusionAttention",
    "QueryKeyValue",
    "SelfAttention",
    "TokenConvolution",
]
