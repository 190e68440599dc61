"""MutualFormer: fusing two aligned modalities by cross-diffusion attention (arXiv 2112.01177)."""

__version__ = "0.1.0"

from mutualformer.fusion import Fusion
from mutualformer.layers import MutualFormerBlock
from mutualformer.network import MutualFormerNetwork
from mutualformer.ops import CrossDiffusionOutput, cross_diffusion, regularized_diffusion

__all__ = [
    "CrossDiffusionOutput",
    "Fusion",
    "MutualFormerBlock",
    "MutualFormerNetwork",
    "cross_diffusion",
    "regularized_diffusion",
]
