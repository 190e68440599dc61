"""Fusions of one size, by the width of their feed-forward network, so that none wins by size."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.fusions.base import FeedForward, Fusion


def match_parameters(probe: Fusion, dim: int, parameters: int) -> Callable[[int], Fusion]:
    """Return what builds a fusion with as many parameters as asked for, within 5 %.

    The width of the FFN makes the difference: a fusion with an option ``mlp_ratio`` is built with
    another one; any other fusion is followed by an FFN, unless it has the size without.

    Args:
        probe: the fusion with its options, of which all but ``mlp_ratio`` stay.
        dim: token width C.
        parameters: of one fusion, that is, of one stage of a network.

    Raises:
        UserError: no width of the FFN comes near enough, or the number is none; says what would.

    >>> from mutualformer.fusions import GatedSum
    >>> fusion = match_parameters(GatedSum(32), 32, 10_000)(32)
    >>> count_parameters(fusion)
    9976
    """
    check_integer("fusion_parameters", parameters, 1, 10**9)
    own, options = type(probe), dict(probe.settings["init_args"])

    def with_ratio(dim: int, mlp_ratio: float) -> Fusion:
        return own(dim, **{**options, "mlp_ratio": mlp_ratio})

    def with_feed_forward(dim: int, mlp_ratio: float) -> Fusion:
        fusion = own(dim, **options)
        return WithFeedForward(fusion, dim, mlp_ratio) if mlp_ratio else fusion

    has_ratio = _grows(with_ratio, dim)
    build, smallest = (with_ratio, 1) if has_ratio else (with_feed_forward, 0)

    @cache
    def count(width: int) -> int:
        return _count(build, dim, _ratio(width, dim))

    above = _first_at_least(count, smallest, parameters)
    reached = [width for width in (above - 1, above) if width >= smallest]
    width = min(reached, key=lambda width: abs(count(width) - parameters))
    if 20 * abs(count(width) - parameters) > parameters:
        has = f"fusion_parameters is {parameters}, but {own.__name__} of width {dim} has "
        if above == smallest:
            least = -(-20 * count(above) // 21)
            raise UserError(
                f"{has}{count(above)} with {'the narrowest' if has_ratio else 'no'} FFN, expected "
                f"at least {least}: ask for that, or take another fusion"
            )
        counts = " or ".join(dict.fromkeys(str(count(width)) for width in reached))
        raise UserError(f"{has}{counts} at the nearest widths of its FFN: ask for that")
    return partial(build, mlp_ratio=_ratio(width, dim))


class WithFeedForward(Fusion):
    """Follow a fusion, which stays as it is otherwise, by an FFN: P + FFN(LN(P)).

    What the fusion adds to the loss is read off itself, as off any other module of a network.

    Args:
        fusion: that gives P.
        dim: token width C.
        mlp_ratio: hidden width of the FFN as a multiple of C.

    >>> from mutualformer.fusions import GatedSum
    >>> fusion = WithFeedForward(GatedSum(32), 32, 2.0)
    >>> fusion(torch.randn(2, 32, 7, 7), torch.randn(2, 32, 7, 7)).shape
    torch.Size([2, 32, 7, 7])
    """

    def __init__(self, fusion: Fusion, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.fusion = fusion
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, mlp_ratio)
        for name in ("modalities", "rewrites_streams", "rewrites_in_paper", "settings"):
            object.__setattr__(self, name, getattr(fusion, name))  # of the class otherwise

    def forward(self, *streams: Any, **options: Any) -> Any:
        """Map streams to P, and hand on what else the fusion returns; arguments are its own."""
        fused = self.fusion(*streams, **options)
        if isinstance(fused, tuple):
            return self._feed(fused[0]), *fused[1:]
        return self._feed(fused)

    def _feed(self, fused: Tensor) -> Tensor:
        tokens = fused if fused.dim() == 3 else fused.movedim(1, -1)
        branch = self.feed_forward(self.norm(tokens))
        return fused + (branch if fused.dim() == 3 else branch.movedim(-1, 1))


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers are learned."""
    return sum(parameter.numel() for parameter in module.parameters())


def _count(build: Callable[[int, float], Fusion], dim: int, mlp_ratio: float) -> int:
    with torch.random.fork_rng(devices=[]):
        return count_parameters(build(dim, mlp_ratio))


def _grows(build: Callable[[int, float], Fusion], dim: int) -> bool:
    """Tell whether a fusion has an option ``mlp_ratio`` that takes fractions and makes it wider."""
    try:
        return _count(build, dim, 1.5) < _count(build, dim, 4.5)
    except (TypeError, UserError):  # no such option, whoever it was handed on to
        return False


def _ratio(width: int, dim: int) -> float:
    """Return a ratio r for which int(dim * r) is a given width."""
    ratio = width / dim
    return ratio if int(dim * ratio) == width else math.nextafter(ratio, math.inf)


def _first_at_least(count: Callable[[int], int], smallest: int, parameters: int) -> int:
    """Find the smallest width that has at least so many parameters."""
    below, width = smallest - 1, max(smallest, 1)
    while count(width) < parameters and width < parameters:  # as a unit has a parameter at least
        below, width = width, 2 * width
    while width - below > 1:
        middle = (below + width) // 2
        below, width = (middle, width) if count(middle) < parameters else (below, middle)
    return width
