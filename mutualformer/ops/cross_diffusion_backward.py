"""Gradients of matrix-free cross-diffusion attention, by the adjoint recurrences.

The gradient with respect to an affinity is a sum of outer products, three per modality and step.
It is never formed: its factors are collected, then turned into gradients of queries and keys in one
pass.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mutualformer.ops.cross_diffusion_matrix_free import (
    MAX_SAVED,
    Options,
    Pair,
    Side,
    descend,
    join,
    only,
    start,
    weighted,
)


def row_dot(one: Tensor, other: Tensor) -> Tensor:
    """Dot products of corresponding tokens, `(G, N, D)` twice to `(G, N)`."""
    return torch.linalg.vecdot(one, other)


class AffinityGradient:
    """dŜ = Σ A Bᵀ of one modality, collected factor by factor, and what it does to Q and K.

    With δ the row sums of Ŝ ∘ dŜ (for a symmetric Ŝ: half the sum of its row and column sums),
    dlogits = Ŝ ∘ dŜ − δ ∘ S.
    """

    def __init__(self, side: Side, value: Tensor) -> None:
        self.side = side
        # Of the values' dtype, that of all sums; queries and keys may be in half precision.
        self.grad_query, self.grad_key = torch.zeros_like(value), torch.zeros_like(value)
        self._clear()

    def _clear(self) -> None:
        self.left_factors: Pair = []
        self.right_factors: Pair = []
        self.delta: Tensor | None = None

    def add(self, left: Tensor, right: Tensor, read: Tensor, moved: Tensor | None) -> None:
        """Add A Bᵀ.

        Args:
            left: A, `(G, N, D)`.
            right: B, `(G, N, D)`.
            read: Ŝ B.
            moved: Ŝᵀ A; used, and needed, only if Ŝ is symmetric.
        """
        delta = row_dot(left, read)
        if self.side.scale is not None:
            delta = 0.5 * (delta + row_dot(right, only(moved)))
        self.left_factors += self.side.multiply([left])
        self.right_factors += self.side.divide([right])
        self.delta = delta if self.delta is None else self.delta + delta

    def add_attention(self, left: Tensor, right: Tensor, read: Tensor) -> None:
        """Add A Bᵀ to the gradient of the softmax S itself; ``read`` is S B."""
        self.left_factors.append(left)
        self.right_factors.append(right)
        delta = row_dot(left, read)
        self.delta = delta if self.delta is None else self.delta + delta

    def flush(
        self, last: tuple[Tensor, Tensor] | None = None, left: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Turn what was collected into gradients of Q and K, and forget it.

        Args:
            last: (A, B), one more factor of a softmax whose S B is not known yet.
            left: Y, for a product in the same pass.

        Returns:
            S B and Sᵀ Y.
        """
        weight, right = last if last is not None else (None, None)
        lefts, rights = self.left_factors, self.right_factors
        if weight is not None and right is not None:
            lefts, rights = [*lefts, weight], [*rights, right]
        grad_query, grad_key, out_right, out_left = self.side.affinity.gradients(
            only(join(lefts)), only(join(rights)), only(self.delta), right, weight, left
        )
        self.grad_query += grad_query
        self.grad_key += grad_key
        self._clear()
        return out_right, out_left


def backward(
    options: Options,
    queries: Pair,
    keys: Pair,
    values: Pair,
    outputs: Sequence[Tensor],
    saved: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> tuple[Pair, Pair, Pair]:
    """Compute the gradients of the six inputs.

    Args:
        options: as in the forward pass.
        queries: as in the forward pass.
        keys: as in the forward pass.
        values: as in the forward pass.
        outputs: M_r, M_d, M_rd, M_dr, as the forward pass returned them.
        saved: the further tensors that it returned.
        cotangents: gradients of the four outputs.

    Returns:
        Gradients of the queries (divided by √D), the keys and the values.
    """
    beta, num_iterations = 0.5 * (1 - options.epsilon), options.num_iterations
    symmetric = options.affinity == "symmetric"
    attended, grad_attended = outputs[:2], cotangents[:2]
    # Entry m of a pair of states is what is read from modality m, so M_rd belongs to depth.
    final_state, grad_state = [outputs[3], outputs[2]], [cotangents[3], cotangents[2]]
    sides = [
        Side(options.make_affinity(query, key, log_sum_exp), symmetric)
        for query, key, log_sum_exp in zip(queries, keys, saved[:2], strict=True)
    ]
    crosses = [options.make_affinity(queries[1 - m], keys[m]) for m in (0, 1)]
    gradients = [AffinityGradient(side, value) for side, value in zip(sides, values, strict=True)]
    kept_moved, kept_states, kept_products = _unpack(options, saved[2:])

    def chain() -> Iterator[tuple[int, Pair, Pair]]:
        """Yield k, W_k, and g_k, the cotangent of Y_k without its factor ε^k, from k = T."""
        if options.saves_states:
            pulled = descend(lambda g: _pull(sides, g), grad_state, num_iterations)
            for count, g in zip(range(num_iterations, -1, -1), pulled, strict=True):
                yield count, kept_moved[count] if count else values, g
        else:
            both = descend(lambda x: _move_and_pull(sides, x), values + grad_state, num_iterations)
            for count, x in zip(range(num_iterations, -1, -1), both, strict=True):
                yield count, x[:2], x[2:]

    state: Pair = []
    next_moved: Pair = []
    next_pulled: Pair = []
    grad_moved: Pair = []
    num_collected = 0
    for count, moved, pulled in chain():
        scale = options.epsilon**count
        grad_y = [scale * g for g in pulled]
        if count == num_iterations:
            state = kept_states.get(count) or start(options, sides, crosses, moved)
            grad_moved = _start_gradient(options, sides, crosses, gradients, moved, state, grad_y)
            next_moved, next_pulled = moved, pulled
            continue
        parts = weighted(options, state, moved)
        grad_parts = [scale * g for g in next_pulled]  # Ŝᵀ of the other modality times grad_y
        last = count == 0 and not symmetric
        products: Pair = list(attended) if last else kept_products.get(count, [])
        state = final_state if count == 0 else kept_states.get(count, [])
        grad_product = [beta * g for g in grad_y]
        if last:
            grad_product = [x + g for x, g in zip(grad_product, grad_attended, strict=True)]
        # Products with Ŝ that are not known yet, one pass per modality.
        reads: list[Pair] = [[], []]
        pushed: Pair = []
        known = bool(products and state)
        if not last:
            for j, side in enumerate(sides):
                wanted = [] if known else [parts[1 - j], moved[j]]
                right, left = side.products([*wanted, grad_moved[j]], [grad_product[j]])
                reads[j] = right
                pushed += left
        if not known:
            products = [reads[j][1] for j in (0, 1)]
            read_parts = [reads[1][0], reads[0][0]]
            state = [y + beta * x for y, x in zip(read_parts, products, strict=True)]
        else:
            read_parts = [y - beta * x for y, x in zip(state, products, strict=True)]
        for j, gradient in enumerate(gradients):
            other = 1 - j
            gradient.add(grad_y[other], parts[other], read_parts[other], grad_parts[other])
            gradient.add(grad_product[j], moved[j], products[j], None if last else pushed[j])
            if last:
                read, push = gradient.flush((moved[j], grad_moved[j]), grad_product[j])
                reads[j] = [only(read)]
                pushed.append(only(push))
            else:
                gradient.add(moved[j], grad_moved[j], reads[j][-1], next_moved[j])
        grad_moved = [reads[j][-1] + pushed[j] + beta * grad_parts[j] for j in (0, 1)]
        next_moved, next_pulled = moved, pulled
        num_collected += 1
        if num_collected == MAX_SAVED and count > 0:
            for gradient in gradients:
                gradient.flush()
            num_collected = 0
    if symmetric or num_iterations == 0:
        for j, gradient in enumerate(gradients):
            gradient.add_attention(grad_attended[j], values[j], attended[j])
            _, push = gradient.flush(left=grad_attended[j])
            grad_moved[j] = grad_moved[j] + only(push)
    return [g.grad_query for g in gradients], [g.grad_key for g in gradients], grad_moved


def _pull(sides: list[Side], pulled: Pair) -> Pair:
    """Step g_k to g_{k+1} = Ŝᵀ g_k, with Ŝ of the modality that does the reading."""
    return [sides[1 - m].products(left=[pulled[m]])[1][0] for m in (0, 1)]


def _move_and_pull(sides: list[Side], both: Pair) -> Pair:
    """Step W and g together, sharing the pass over each modality."""
    by_rgb, by_depth = (sides[j].products(left=[both[j], both[3 - j]])[1] for j in (0, 1))
    return [by_rgb[0], by_depth[0], by_depth[1], by_rgb[1]]


def _start_gradient(
    options: Options,
    sides: list[Side],
    crosses: list,
    gradients: list[AffinityGradient],
    moved: Pair,
    state: Pair,
    grad_y: Pair,
) -> Pair:
    """Differentiate Y_T = S^(0) W_T; returns the gradient of W_T."""
    if options.initial_affinity == "identity":
        return list(grad_y)
    if options.initial_affinity == "cross":
        grad_moved = []
        for m in (0, 1):
            crosses[m].products(right=moved[m][..., :1])  # for its log-sum-exp
            grad_query, grad_key, _, left = crosses[m].gradients(
                grad_y[m], moved[m], row_dot(grad_y[m], state[m]), left=grad_y[m]
            )
            gradients[1 - m].grad_query += grad_query
            gradients[m].grad_key += grad_key
            grad_moved.append(only(left))
        return grad_moved
    half = [0.5 * g for g in grad_y]
    total: Pair = [torch.zeros_like(w) for w in moved]
    for side, gradient in zip(sides, gradients, strict=True):
        right, left = side.products(moved, half)
        for m in (0, 1):
            gradient.add(half[m], moved[m], right[m], left[m])
            total[m] += left[m]
    return total


def _unpack(
    options: Options, saved: Sequence[Tensor]
) -> tuple[dict[int, Pair], dict[int, Pair], dict[int, Pair]]:
    """Sort what the forward pass saved by step: W_k, Y_k and Ŝ W_k."""
    if not options.saves_states:
        return {}, {}, {}
    pairs = iter([list(saved[i : i + 2]) for i in range(0, len(saved), 2)])
    last = options.num_iterations
    steps = range(last - 1, 0, -1)
    moved = {k: next(pairs) for k in range(last, 0, -1)}
    with_last = [last] if options.initial_affinity != "identity" and last > 0 else []
    states = {k: next(pairs) for k in [*with_last, *steps]}
    with_first = [0] if options.affinity == "symmetric" and last > 0 else []
    products = {k: next(pairs) for k in [*steps, *with_first]}
    return moved, states, products
