"""MutualFormer: fusing two aligned modalities by cross-diffusion attention (arXiv 2112.01177)."""

from typing import TYPE_CHECKING

from mutualformer.lazy import lazy_names

if TYPE_CHECKING:
    from mutualformer.fusions.base import Fusion
    from mutualformer.fusions.mutualformer_block import MutualFormerBlock
    from mutualformer.network.mutualformer_network import MutualFormerNetwork
    from mutualformer.ops.cross_diffusion.cross_diffusion import (
        CrossDiffusionOutput,
        cross_diffusion,
    )
    from mutualformer.ops.diffusion import regularized_diffusion

__version__ = "0.1.0"

__all__ = [
    "CrossDiffusionOutput",
    "Fusion",
    "MutualFormerBlock",
    "MutualFormerNetwork",
    "cross_diffusion",
    "regularized_diffusion",
]

__getattr__ = lazy_names(
    __name__,
    {
        "CrossDiffusionOutput": "mutualformer.ops.cross_diffusion.cross_diffusion",
        "Fusion": "mutualformer.fusions.base",
        "MutualFormerBlock": "mutualformer.fusions.mutualformer_block",
        "MutualFormerNetwork": "mutualformer.network.mutualformer_network",
        "cross_diffusion": "mutualformer.ops.cross_diffusion.cross_diffusion",
        "regularized_diffusion": "mutualformer.ops.diffusion",
    },
)
