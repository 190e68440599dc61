"""Layers with weights: attention, aggregation and the MutualFormer block."""

from mutualformer.layers.aggregation import ConcatResidual, TokenConvolution
from mutualformer.layers.attention import CrossDiffusionAttention, QueryKeyValue, SelfAttention
from mutualformer.layers.fusion_block import FeedForward, FusionBlock
from mutualformer.layers.mutualformer_block import MutualFormerBlock

__all__ = [
    "ConcatResidual",
    "CrossDiffusionAttention",
    "FeedForward",
    "FusionBlock",
    "MutualFormerBlock",
    "QueryKeyValue",
    "SelfAttention",
    "TokenConvolution",
]
