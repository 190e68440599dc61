"""Operations on affinities: cross-diffusion attention and the processes it is built from."""

from mutualformer.ops.cross_diffusion.affinity_rows import AffinityRows, affinity_rows
from mutualformer.ops.cross_diffusion.cross_diffusion import (
    CrossDiffusionOutput,
    cross_diffusion,
    cross_diffusion_residuals,
)
from mutualformer.ops.diffusion import diffuse, diffusion_limit
from mutualformer.ops.regularized_diffusion import (
    regularized_diffusion,
    regularized_diffusion_limit,
)

__all__ = [
    "AffinityRows",
    "CrossDiffusionOutput",
    "affinity_rows",
    "cross_diffusion",
    "cross_diffusion_residuals",
    "diffuse",
    "diffusion_limit",
    "regularized_diffusion",
    "regularized_diffusion_limit",
]
