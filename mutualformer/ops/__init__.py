"""Operations on affinities: cross-diffusion attention and the processes it is built from."""

from mutualformer.ops.cross_diffusion.affinity_rows import AffinityRows, affinity_rows
from mutualformer.ops.cross_diffusion.backends import BackendChoice, choose_backend
from mutualformer.ops.cross_diffusion.cross_diffusion import (
    CrossDiffusionOutput,
    cross_diffusion,
)
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, QueryKeyValue
from mutualformer.ops.diffusion import (
    diffuse,
    diffusion_limit,
    regularized_diffusion,
    regularized_diffusion_limit,
)

__all__ = [
    "AffinityRows",
    "BackendChoice",
    "CrossDiffusionOptions",
    "CrossDiffusionOutput",
    "QueryKeyValue",
    "affinity_rows",
    "choose_backend",
    "cross_diffusion",
    "diffuse",
    "diffusion_limit",
    "regularized_diffusion",
    "regularized_diffusion_limit",
]
