"""Cross-diffusion whose products autograd differentiates: the recurrence, and nothing by hand.

For affinities whose ``products`` have gradients of their own, as those of torch's fused attention.
Few steps of a softmax run as in `interleaved.py`; here is everything else.
"""

from collections.abc import Callable
from functools import partial
from math import isqrt

import torch
from torch.utils.checkpoint import checkpoint

from mutualformer.ops.affinity.affinity_side import AffinitySide
from mutualformer.ops.affinity.tensors import Pair, only
from mutualformer.ops.cross_diffusion import interleaved
from mutualformer.ops.cross_diffusion.checkpointed import (
    crosses_of,
    move,
    read_back,
    start_of,
)
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions


def forward(options: CrossDiffusionOptions, queries: Pair, keys: Pair, values: Pair) -> Pair:
    """Compute M_r, M_d, M_rd and M_dr; arguments as in `interleaved.py`.

    More than ``interleaved.MAX_ITERATIONS`` steps are divided into some √T stretches, of which only
    the ends are kept: memory is that of 2 √T steps, and the steps are computed twice.
    """
    if interleaved.serves(options):
        return interleaved.forward(options, queries, keys, values)[0]
    affinities = options.affinities(queries, keys)
    attended = [only(s.products(v)[0]) for s, v in zip(affinities, values, strict=True)]
    sides = [AffinitySide(affinity, options.affinity == "symmetric") for affinity in affinities]
    lengths = stretches(options)

    ends = [list(values)]  # W_0, and after each stretch
    for length in lengths:
        ends.append(_run(len(lengths) > 1, partial(_move_on, sides, length), *ends[-1]))
    state = start_of(options, sides, crosses_of(options, queries, keys), ends.pop())
    for length in reversed(lengths):
        back = partial(_read_back, options, sides, length)
        state = _run(len(lengths) > 1, back, *ends.pop(), *state)
    if not lengths:
        state = [y.clone() for y in state]  # outputs must not share memory with inputs
    return [*attended, *state[::-1]]


# For where a graph of torch.compile is to break.
forward_uncompiled = torch.compiler.disable(forward)


def stretches(options: CrossDiffusionOptions) -> list[int]:
    """Return into how many steps each the steps are divided; if it is one stretch, all is kept."""
    count = options.num_steps
    stride = max(interleaved.MAX_ITERATIONS, isqrt(count))
    return [min(stride, count - first) for first in range(0, count, stride)]


def _run(is_one_of_many: bool, stretch: Callable[..., Pair], *state: torch.Tensor) -> Pair:
    """Call a stretch; of one of many, keep the arguments alone and call it again for gradients."""
    if not is_one_of_many:
        return stretch(*state)
    return checkpoint(stretch, *state, use_reentrant=False, preserve_rng_state=False)


def _move_on(sides: list[AffinitySide], length: int, *moved: torch.Tensor) -> Pair:
    """Step W_k to W_{k + length}."""
    pair = list(moved)
    for _ in range(length):
        pair = move(sides, pair)
    return pair


def _read_back(
    options: CrossDiffusionOptions, sides: list[AffinitySide], length: int, *tensors: torch.Tensor
) -> Pair:
    """Step Y_{k + length} to Y_k; the tensors are W_k of either modality, and Y_{k + length}."""
    moved, state = [list(tensors[:2])], list(tensors[2:])
    for _ in range(length - 1):
        moved.append(move(sides, moved[-1]))
    for w in reversed(moved):
        state = read_back(options, sides, w, state)
    return state
