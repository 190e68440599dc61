"""What a fusion reads, before a network is built around it."""

from collections.abc import Callable

import torch

from mutualformer.errors import UserError
from mutualformer.fusions.base import Fusion


def probe_fusion(fusion: Callable[[int], Fusion], dim: int) -> Fusion:
    """Build one fusion to learn what it reads, with the random numbers of nobody else.

    Raises:
        UserError: it is no `Fusion`, or reads other modalities than RGB and depth.
    """
    with torch.random.fork_rng(devices=[]):
        probe = fusion(dim)
    if not isinstance(probe, Fusion):
        raise UserError(
            f"fusion made a {type(probe).__qualname__}, expected a subclass of "
            "mutualformer.fusions.Fusion: derive your class from it"
        )
    if tuple(probe.modalities) not in (("rgb", "depth"), ("rgb",), ("depth",)):
        raise UserError(
            f"{type(probe).__qualname__}.modalities is {probe.modalities!r}, expected "
            '("rgb", "depth"), ("rgb",) or ("depth",): what it reads of a pair'
        )
    return probe
