"""Layers with weights: attention and aggregation."""

from mutualformer.layers.aggregation import ConcatResidual, TokenConvolution
from mutualformer.layers.attention import (
    CrossDiffusionAttention,
    QueryKeyValueProjection,
    SelfAttention,
)
from mutualformer.layers.branch_dropout import BranchDropout

__all__ = [
    "BranchDropout",
    "ConcatResidual",
    "CrossDiffusionAttention",
    "QueryKeyValueProjection",
    "SelfAttention",
    "TokenConvolution",
]
