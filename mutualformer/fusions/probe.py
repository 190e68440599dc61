"""What a fusion reads and rewrites, before a network is built around it."""

from collections.abc import Callable
from typing import Any

import torch

from mutualformer import fusions
from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS
from mutualformer.fusions.base import Fusion


def probe_fusion(fusion: Callable[[int], Fusion], dim: int) -> Fusion:
    """Build one fusion to learn what it reads, with the random numbers of nobody else.

    Raises:
        UserError: its options or the width do not fit; it is no `Fusion`, or reads other modalities
            than RGB and depth.
    """
    check_integer("dim", dim, 1)
    try:
        with torch.random.fork_rng(devices=[]):
            probe = fusion(dim)
    except UserError as error:
        # In place, as whoever built the class for us may have noted the error already.
        error.args = (f"{error} (of the fusion {_name(fusion)})",)
        raise
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


def check_rewrites(fusion: Fusion) -> None:
    """Raise ``UserError`` for a fusion that has no streams to feed back into encoders."""
    if not fusion.rewrites_streams:
        classes = {x: getattr(fusions, path.rpartition(".")[2]) for x, path in FUSIONS.items()}
        able = [name for name, of_name in classes.items() if of_name.rewrites_in_paper]
        raise UserError(
            f"feed_back is true, but {type(fusion).__qualname__} rewrites no streams that could go "
            f"on in the encoders; expected mutualformer (variant paper), {', '.join(able)}, or a "
            "class with fuse_and_rewrite and rewrites_streams = True"
        )


def remarks_on_feedback(fusion: Fusion, feed_back: bool) -> tuple[str, ...]:
    """Say where a network that feeds back, or does not, differs from the paper of its fusion.

    >>> from mutualformer.fusions import CMX, MutualFormerBlock
    >>> remarks_on_feedback(MutualFormerBlock(32, 4), False), remarks_on_feedback(CMX(32), True)
    ((), ())
    """
    if fusion.rewrites_in_paper and not feed_back:
        return ("without feedback: its paper hands rewritten streams on in the encoders",)
    if feed_back and not fusion.rewrites_in_paper:
        return ("with feedback into the encoders, which its paper does not have",)
    return ()


def _name(fusion: Any) -> str:
    """Return what a user calls a fusion, also where the parser has wrapped its class."""
    built = (fusion, getattr(fusion, "func", None), *getattr(fusion, "args", ()))
    found = next((x for x in built if isinstance(x, type)), type(fusion))
    path = f"{found.__module__}.{found.__qualname__}"
    return next((name for name, known in FUSIONS.items() if known == path), path)
