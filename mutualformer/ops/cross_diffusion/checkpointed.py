"""Cross-diffusion of any number of steps, with any affinity, in memory that does not grow with it.

Nothing but the log-sum-exps is kept for the backward pass. States that are needed in the reverse of
the order they arise in are recomputed from checkpoints. README.md beside this file derives the
recurrences; pairs are indexed by the modality whose values are moved, so that entry 1 of a pair of
states is what RGB reads from depth.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mutualformer.ops.affinity.affinity_side import AffinitySide
from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import Pair, only
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions

NUM_CHECKPOINTS = 8
"""Checkpoints per level of recomputation, and steps whose outer products share a gradient pass."""


def descend(step: Callable[[Pair], Pair], start: Pair, count: int) -> Iterator[Pair]:
    """Yield the states after ``count``, ``count`` − 1, …, 0 steps from ``start``.

    Checkpoints are kept at up to ``NUM_CHECKPOINTS`` places, and the stretches between them are
    recomputed the same way: memory and time grow with the logarithm of ``count`` alone.
    """
    stride = max(1, -(-count // NUM_CHECKPOINTS))
    checkpoints, state = [start], start
    for index in range(1, count + 1):
        state = step(state)
        if index % stride == 0:
            checkpoints.append(state)
    del state
    while checkpoints:
        first = (len(checkpoints) - 1) * stride
        checkpoint = checkpoints.pop()
        if stride == 1:
            yield checkpoint
        else:
            yield from descend(step, checkpoint, count - first)
        count = first - 1


def num_states(options: CrossDiffusionOptions) -> int:
    """Return how many states :func:`forward` returns after its outputs and log-sum-exps: none."""
    return 0


def forward(
    options: CrossDiffusionOptions, queries: Pair, keys: Pair, values: Pair
) -> tuple[list[Tensor], list[Tensor]]:
    """Compute M_r, M_d, M_rd, M_dr and the log-sum-exps of the two affinities, no states.

    Arguments as in `interleaved.py`; any affinity and any number of steps.
    """
    affinities = options.affinities(queries, keys)
    attended = [only(s.products(v)[0]) for s, v in zip(affinities, values, strict=True)]
    sides = [AffinitySide(affinity, options.affinity == "symmetric") for affinity in affinities]
    crosses = crosses_of(options, queries, keys)

    state: Pair = []
    for moved in descend(lambda x: move(sides, x), list(values), options.num_steps):
        if not state:
            state = start_of(options, sides, crosses, moved)
            continue
        state = read_back(options, sides, moved, state)
    if options.num_steps == 0:
        state = [y.clone() for y in state]  # outputs must not share memory with inputs
    return [*attended, *state[::-1]], [only(affinity.log_sum_exp) for affinity in affinities]


def backward(
    options: CrossDiffusionOptions,
    queries: Pair,
    keys: Pair,
    values: Pair,
    outputs: Sequence[Tensor],
    saved: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> tuple[Pair, Pair, Pair]:
    """Compute the gradients of the six inputs; as in `interleaved.py`."""
    epsilon, beta, count = options.epsilon, options.beta, options.num_steps
    affinities = options.affinities(queries, keys, list(saved))
    sides = [AffinitySide(affinity, options.affinity == "symmetric") for affinity in affinities]
    crosses = crosses_of(options, queries, keys)

    # W_k and g_k, the cotangent of Y_k without its factor ε^k, from the last step to the first.
    start = [*values, cotangents[3], cotangents[2]]
    state: Pair = []
    pushed: Pair = []  # cotangents of W_k
    next_moved: Pair = []
    next_pulled: Pair = []
    for k, chains in zip(
        range(count, -1, -1), descend(lambda x: _move_and_pull(sides, x), start, count), strict=True
    ):
        moved, pulled = chains[:2], chains[2:]
        grad_state = [epsilon**k * g for g in pulled]
        if k == count:
            state = start_of(options, sides, crosses, moved)
            pushed = _start_gradient(options, sides, crosses, moved, state, grad_state)
        else:
            parts = parts_of(options, state, moved)
            grad_parts = [epsilon**k * g for g in next_pulled]
            grad_products = [beta * g for g in grad_state]
            reads: Pair = [torch.empty(0)] * 2
            products: Pair = [torch.empty(0)] * 2
            for j, side in enumerate(sides):
                other = 1 - j
                right, left = side.products([parts[other], moved[j], pushed[j]], [grad_products[j]])
                reads[other], products[j] = right[0], right[1]
                side.add(grad_state[other], parts[other], right[0], grad_parts[other])
                side.add(grad_products[j], moved[j], right[1], left[0])
                side.add(moved[j], pushed[j], right[2], next_moved[j])
                pushed[j] = right[2] + left[0] + beta * grad_parts[j]
            state = [read + beta * product for read, product in zip(reads, products, strict=True)]
            if k > 0 and (count - k) % NUM_CHECKPOINTS == 0:
                for side in sides:
                    side.flush()
        next_moved, next_pulled = moved, pulled
    for j, side in enumerate(sides):
        side.add_to_softmax(cotangents[j], values[j], outputs[j])
        pushed[j] = pushed[j] + only(side.flush(cotangents[j]))
    for m, cross in enumerate(crosses):
        sides[1 - m].grad_query += cross.grad_query
        sides[m].grad_key += cross.grad_key
    return [side.grad_query for side in sides], [side.grad_key for side in sides], pushed


def move(sides: list[AffinitySide], moved: Pair) -> Pair:
    """Step W_k to W_{k+1} = Ŝ_mᵀ W_k, for both modalities."""
    return [side.products(left=[w])[1][0] for side, w in zip(sides, moved, strict=True)]


def read_back(
    options: CrossDiffusionOptions, sides: list[AffinitySide], moved: Pair, state: Pair
) -> Pair:
    """Step Y_{k+1} to Y_k = Ŝ P_k + ½ (1 − ε) Ŝ W_k, the first by the modality that reads."""
    parts = parts_of(options, state, moved)
    by_rgb, by_depth = (
        side.products(right=[parts[1 - j], moved[j]])[0] for j, side in enumerate(sides)
    )
    return [by_depth[0] + options.beta * by_rgb[1], by_rgb[0] + options.beta * by_depth[1]]


def _move_and_pull(sides: list[AffinitySide], chains: Pair) -> Pair:
    """Step W as above, and g_k to g_{k+1} = Ŝᵀ g_k with Ŝ of the modality that reads."""
    by_rgb, by_depth = (sides[j].products(left=[chains[j], chains[3 - j]])[1] for j in (0, 1))
    return [by_rgb[0], by_depth[0], by_depth[1], by_rgb[1]]


def parts_of(options: CrossDiffusionOptions, state: Pair, moved: Pair) -> Pair:
    """Combine P_k = ε Y_{k+1} + ½ (1 − ε) W_k, which the other modality's affinity reads."""
    return [
        torch.add(options.beta * w, y, alpha=options.epsilon)
        for y, w in zip(state, moved, strict=True)
    ]


def crosses_of(options: CrossDiffusionOptions, queries: Pair, keys: Pair) -> list[AffinitySide]:
    """Build softmax(Q_r K_dᵀ), which reads depth, and its counterpart, if they are wanted."""
    if options.initial_affinity != "cross":
        return []
    affinities: list[RowBlockAffinity] = options.affinities(queries[::-1], keys)
    return [AffinitySide(affinity, symmetric=False) for affinity in affinities]


def start_of(
    options: CrossDiffusionOptions,
    sides: list[AffinitySide],
    crosses: list[AffinitySide],
    moved: Pair,
) -> Pair:
    """Compute Y_T = S^(0) W_T."""
    if options.initial_affinity == "identity":
        return list(moved)
    if options.initial_affinity == "cross":
        return [cross.products(right=[w])[0][0] for cross, w in zip(crosses, moved, strict=True)]
    by_rgb, by_depth = (side.products(right=moved)[0] for side in sides)
    return [0.5 * (x + y) for x, y in zip(by_rgb, by_depth, strict=True)]


def _start_gradient(
    options: CrossDiffusionOptions,
    sides: list[AffinitySide],
    crosses: list[AffinitySide],
    moved: Pair,
    state: Pair,
    grad_state: Pair,
) -> Pair:
    """Differentiate Y_T = S^(0) W_T; returns the cotangent of W_T."""
    if options.initial_affinity == "identity":
        return list(grad_state)
    if options.initial_affinity == "cross":
        lefts = []
        for cross, g, w, y in zip(crosses, grad_state, moved, state, strict=True):
            cross.add_to_softmax(g, w, y)
            lefts.append(only(cross.flush(g)))
        return lefts
    half = [0.5 * g for g in grad_state]
    total = [torch.zeros_like(w) for w in moved]
    for side in sides:
        right, left = side.products(moved, half)
        for m in (0, 1):
            side.add(half[m], moved[m], right[m], left[m])
            total[m] += left[m]
    return total
