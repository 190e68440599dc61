"""Cross-diffusion attention and its gradients from products with N × D matrices alone.

README.md beside this file derives the recurrences. Names follow it: the values of modality m are
moved by Ŝ_mᵀ (``moved``, W), then read back through the other modality (``state``, Y). Pairs are
indexed by modality, 0 = RGB and 1 = depth; ``1 - m`` is the other one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mutualformer.ops.row_block_affinity import RowBlockAffinity

Pair = list[Tensor]

MAX_SAVED = 8
"""Steps whose intermediate states are kept for the backward pass, and checkpoints per level beyond.

Runs of more steps keep checkpoints only and recompute, so that memory does not grow with T.
"""


class Options(NamedTuple):
    """What determines the operation, apart from its tensors."""

    epsilon: float
    num_iterations: int
    initial_affinity: str
    affinity: str
    make_affinity: Callable[..., RowBlockAffinity] = RowBlockAffinity

    @property
    def saves_states(self) -> bool:
        """Whether the states of the forward pass are kept for the backward pass."""
        return self.num_iterations <= MAX_SAVED

    @property
    def num_saved(self) -> int:
        """Number of tensors that :func:`forward` returns after its four outputs."""
        num_saved = 2  # log-sum-exp of either modality
        if self.saves_states and self.num_iterations > 0:
            num_saved += 2 * self.num_iterations  # W_1 … W_T
            num_saved += 4 * (self.num_iterations - 1)  # Y_k and Ŝ W_k, 0 < k < T
            num_saved += 2 * (self.initial_affinity != "identity")  # Y_T
            num_saved += 2 * (self.affinity == "symmetric")  # Ŝ W_0
        return num_saved


class Side:
    """Ŝ of one modality: the softmax affinity S, scaled on both sides if it is symmetric.

    Ŝ = a S a⁻¹,   a = exp(½ lse)      ("symmetric": Ŝ_ij = exp(s_ij − ½ lse_i − ½ lse_j))
    """

    def __init__(self, affinity: RowBlockAffinity, symmetric: bool) -> None:
        self.affinity = affinity
        self.scale: Tensor | None = None
        if symmetric:
            if affinity.log_sum_exp is None:
                affinity.products(right=affinity.query[..., :1])
            log_sum_exp = affinity.log_sum_exp
            assert log_sum_exp is not None
            # A common factor cancels between the two sides; without it a may overflow.
            centre = 0.5 * (log_sum_exp.amax(-1, True) + log_sum_exp.amin(-1, True))
            self.scale = (0.5 * (log_sum_exp - centre)).exp().unsqueeze(-1)

    def products(
        self, right: Sequence[Tensor] = (), left: Sequence[Tensor] = ()
    ) -> tuple[Pair, Pair]:
        """Return Ŝ X for every X of ``right`` and Ŝᵀ Y for every Y of ``left``, in one pass."""
        out_right, out_left = self.affinity.products(
            join(self.divide(right)), join(self.multiply(left))
        )
        return (
            self.multiply(split(out_right, len(right))),
            self.divide(split(out_left, len(left))),
        )

    def multiply(self, tensors: Sequence[Tensor]) -> Pair:
        """Scale tokens by a."""
        return list(tensors) if self.scale is None else [self.scale * x for x in tensors]

    def divide(self, tensors: Sequence[Tensor]) -> Pair:
        """Scale tokens by 1 / a."""
        return list(tensors) if self.scale is None else [x / self.scale for x in tensors]


def join(tensors: Sequence[Tensor]) -> Tensor | None:
    """Put tensors side by side along the features, for one product instead of several."""
    if len(tensors) < 2:
        return tensors[0] if tensors else None
    return torch.cat(list(tensors), dim=-1)


def split(tensor: Tensor | None, count: int) -> Pair:
    """Undo :func:`join`."""
    return [] if tensor is None else list(tensor.chunk(count, dim=-1))


def descend(step: Callable[[Pair], Pair], start: Pair, count: int) -> Iterator[Pair]:
    """Yield the states after ``count``, ``count`` − 1, …, 0 steps from ``start``.

    Checkpoints are kept at up to ``MAX_SAVED`` places and the stretches between them recomputed
    the same way, so that memory grows with the logarithm of ``count`` and time by that factor.
    """
    stride = max(1, -(-count // MAX_SAVED))
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


def move(sides: list[Side], moved: Pair) -> Pair:
    """Step W_k to W_{k+1} = Ŝ_mᵀ W_k, for both modalities."""
    return [side.products(left=[w])[1][0] for side, w in zip(sides, moved, strict=True)]


def start(
    options: Options, sides: list[Side], crosses: list[RowBlockAffinity], moved: Pair
) -> Pair:
    """Compute Y_T = S^(0) W_T; entry m holds what is read from modality m."""
    if options.initial_affinity == "identity":
        return list(moved)
    if options.initial_affinity == "cross":
        return [only(crosses[m].products(right=moved[m])[0]) for m in (0, 1)]
    by_rgb, by_depth = (side.products(right=moved)[0] for side in sides)
    return [0.5 * (x + y) for x, y in zip(by_rgb, by_depth, strict=True)]


def only(tensor: Tensor | None) -> Tensor:
    """Assert that an optional product was asked for."""
    assert tensor is not None
    return tensor


def weighted(options: Options, state: Pair, moved: Pair) -> Pair:
    """Combine P_k = ε Y_{k+1} + ½ (1 − ε) W_k, which Ŝ of the other modality reads."""
    beta = 0.5 * (1 - options.epsilon)
    return [options.epsilon * y + beta * w for y, w in zip(state, moved, strict=True)]


def forward(
    options: Options, queries: Pair, keys: Pair, values: Pair
) -> tuple[list[Tensor], list[Tensor]]:
    """Compute M_r, M_d, M_rd, M_dr, and what the backward pass needs of them.

    Args:
        options: what to compute.
        queries: Q of either modality, `(G, N, D)`, divided by √D.
        keys: K of either modality.
        values: V of either modality.

    Returns:
        The four outputs, `(G, N, D)`, and ``options.num_saved`` further tensors.
    """
    beta, num_iterations = 0.5 * (1 - options.epsilon), options.num_iterations
    symmetric = options.affinity == "symmetric"
    affinities = [options.make_affinity(q, k) for q, k in zip(queries, keys, strict=True)]
    # The pass that reads S V also moves V, unless the scale of Ŝ must be known before.
    together = not symmetric and num_iterations > 0
    attended, first_moved = [], []
    for affinity, value in zip(affinities, values, strict=True):
        right, left = affinity.products(value, value if together else None)
        attended.append(only(right))
        first_moved.append(left)
    sides = [Side(affinity, symmetric) for affinity in affinities]
    crosses = [options.make_affinity(queries[1 - m], keys[m]) for m in (0, 1)]

    def moved_states() -> Iterator[tuple[int, Pair]]:
        if num_iterations > 0:
            one = [only(w) for w in first_moved] if together else move(sides, values)
            states = descend(lambda moved: move(sides, moved), one, num_iterations - 1)
            yield from zip(range(num_iterations, 0, -1), states, strict=True)
        yield 0, list(values)

    kept_moved: list[Tensor] = []
    kept_states: list[Tensor] = []
    kept_products: list[Tensor] = []
    state: Pair = []
    for count, moved in moved_states():
        if count == num_iterations:
            state = start(options, sides, crosses, moved)
        else:
            parts = weighted(options, state, moved)
            known = count == 0 and not symmetric
            read: Pair = [moved[0], moved[1]]
            products = list(attended)
            for j, side in enumerate(sides):
                wanted = [parts[1 - j]] if known else [parts[1 - j], moved[j]]
                results, _ = side.products(right=wanted)
                read[1 - j] = results[0]
                if not known:
                    products[j] = results[1].contiguous()
            state = [y + beta * product for y, product in zip(read, products, strict=True)]
            if options.saves_states and not known:
                kept_products += products
        if options.saves_states and count > 0:
            kept_moved += moved
            if count < num_iterations or options.initial_affinity != "identity":
                kept_states += state
    if num_iterations == 0:
        state = [y.clone() for y in state]  # outputs must not share memory with inputs
    saved = [only(affinity.log_sum_exp) for affinity in affinities]
    return [*attended, *state[::-1]], [*saved, *kept_moved, *kept_states, *kept_products]
