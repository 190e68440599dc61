"""Cross-diffusion of few steps with row-stochastic affinities, in the fewest passes.

Values of depth are moved by S_dᵀ (W_k), then read back through S_r (Y_k); values of RGB the other
way round. Whatever the two directions need of an affinity at the same time shares one pass over
it: T steps take 3 T passes forward (over S_d, over S_r, over S_d again) and 3 T backward. The
states are kept for the backward pass, which is why this form is for few steps. README.md beside
this file derives the recurrences.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mutualformer.ops.affinity.row_block_affinity import RowBlockAffinity
from mutualformer.ops.affinity.tensors import Pair, only, row_dot
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions

MAX_ITERATIONS = 8


def serves(options: CrossDiffusionOptions) -> bool:
    """Tell whether this form is one for these options."""
    return 1 <= options.num_steps <= MAX_ITERATIONS and options.affinity == "softmax"


def num_states(options: CrossDiffusionOptions) -> int:
    """Return how many states :func:`forward` returns after its outputs and log-sum-exps."""
    between = options.num_steps - 1  # Y_k and S W_k for 0 < k < T
    last = int(options.initial_affinity != "identity")  # Y_T, unless it is W_T
    return 2 * (options.num_steps + 2 * between + last)


def forward(
    options: CrossDiffusionOptions, queries: Pair, keys: Pair, values: Pair
) -> tuple[list[Tensor], list[Tensor]]:
    """Compute M_r, M_d, M_rd, M_dr, and what :func:`backward` needs of them.

    Args:
        options: what to compute; a softmax affinity and at least one step.
        queries: Q of either modality, `(G, N, D)`, divided by √D.
        keys: K of either modality.
        values: V of either modality.

    Returns:
        The four outputs, `(G, N, D)`; the log-sum-exps of the two affinities, `(G, N)`, and
        ``num_states(options)`` states, `(G, N, D)`.
    """
    steps = range(options.num_steps)
    affinities = options.affinities(queries, keys)
    rgb, depth = affinities
    moved: list[Pair] = [[value] for value in values]  # W_0 … W_T
    products: list[Pair] = [[], []]  # S W_0 … S W_{T−1}
    states: list[Pair] = [[], []]  # Y_T … Y_0

    def begin(m: int) -> None:
        """Append Y_T = S^(0) W_T."""
        if options.initial_affinity == "identity":
            states[m].append(moved[m][-1])
            return
        terms = _initial(options, affinities, queries, keys, m)
        reads = [weight * only(s.products(right=moved[m][-1])[0]) for _, weight, s in terms]
        states[m].append(torch.stack(reads).sum(0))

    def part(m: int) -> Tensor:
        """Combine P_k for the next k."""
        k = options.num_steps - len(states[m])
        return _part(options, states[m][-1], moved[m][k])

    def settle(m: int, read: Tensor) -> None:
        """Append Y_k = S P_k + ½ (1 − ε) S W_k."""
        k = options.num_steps - len(states[m])
        states[m].append(torch.add(read, products[m][k], alpha=options.beta))

    for _ in steps:
        right, left = depth.products(moved[1][-1], moved[1][-1])
        products[1].append(only(right))
        moved[1].append(only(left))
    begin(1)
    for _ in steps:
        both, left = rgb.products(torch.cat((moved[0][-1], part(1)), -1), moved[0][-1])
        own, read = only(both).chunk(2, -1)
        products[0].append(own.contiguous())
        moved[0].append(only(left))
        settle(1, read)
    begin(0)
    for _ in steps:
        settle(0, only(depth.products(right=part(0))[0]))

    outputs = [products[0][0], products[1][0], states[1][-1], states[0][-1]]
    first = 0 if options.initial_affinity != "identity" else 1
    saved = [only(affinity.log_sum_exp) for affinity in affinities]
    for m in (0, 1):
        saved += [*moved[m][1:], *products[m][1:], *states[m][first:-1]]
    return outputs, saved


def backward(
    options: CrossDiffusionOptions,
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
    beta, steps = options.beta, range(options.num_steps)
    affinities = options.affinities(queries, keys, list(saved[:2]))
    rgb, depth = affinities
    moved, products, states = _unpack(options, values, outputs, saved[2:])
    # Cotangents: of Y_0 … Y_T; their products with the transpose of what reads Y; of W_T … W_0.
    pulled: list[Pair] = [[cotangents[3]], [cotangents[2]]]
    pulls: list[Pair] = [[], []]
    pushed: list[Pair] = [[], []]
    deltas = [torch.zeros_like(log_sum_exp) for log_sum_exp in saved[:2]]
    grad_queries: list[Tensor | None] = [None, None]
    grad_keys: list[Tensor | None] = [None, None]

    def pull(m: int, product: Tensor) -> None:
        pulls[m].append(product)
        pulled[m].append(options.epsilon * product)

    def push(m: int, k: int, right: Tensor, left: Tensor) -> None:
        """Append the cotangent of W_k: from W_{k+1} = Sᵀ W_k, from S W_k, and from P_k."""
        pushed[m].append(right + left + beta * pulls[m][k])
        deltas[m] += row_dot(moved[m][k], right)

    def grad_product(m: int, k: int) -> Tensor:
        """Compute the cotangent of S W_k, which Y_k reads, and which is the output M_m at k = 0."""
        return beta * pulled[m][k] + cotangents[m] if k == 0 else beta * pulled[m][k]

    def finish(m: int, left: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the outer products that dS_m is made of into gradients, in the last pass over it."""
        other, lefts, rights = 1 - m, [], []
        for k in steps:
            read = states[other][k] - beta * products[other][k]
            lefts += [pulled[other][k], grad_product(m, k), moved[m][k]]
            rights += [_part(options, states[other][k + 1], moved[other][k]), moved[m][k]]
            rights.append(pushed[m][options.num_steps - 1 - k])
            deltas[m] += row_dot(lefts[-3], read) + row_dot(lefts[-2], products[m][k])
        outer_left, outer_right = torch.cat(lefts, -1), torch.cat(rights, -1)
        lefts.clear()
        rights.clear()
        grad_query, grad_key, right, out_left = affinities[m].gradients(
            outer_left, outer_right, deltas[m], pushed[m][-1], moved[m][0], left
        )
        _accumulate(grad_queries, m, grad_query)
        _accumulate(grad_keys, m, grad_key)
        return only(right), only(out_left)

    def both_products(affinity: RowBlockAffinity, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        right, left = affinity.products(x, y)
        return only(right), only(left)

    def begin(m: int) -> None:
        """Differentiate Y_T = S^(0) W_T, with respect to S^(0) at once."""
        grad_state, values_moved = pulled[m][-1], moved[m][-1]
        if options.initial_affinity == "identity":
            pushed[m].append(grad_state)
            return
        total = torch.zeros_like(grad_state)
        for reader, weight, affinity in _initial(options, affinities, queries, keys, m):
            cotangent = weight * grad_state
            grad_query, grad_key, _, left = affinity.gradients(
                cotangent,
                values_moved,
                torch.zeros_like(deltas[m]),
                values_moved,
                cotangent,
                cotangent,
            )
            _accumulate(grad_queries, reader[0], grad_query)
            _accumulate(grad_keys, reader[1], grad_key)
            total += only(left)
        pushed[m].append(total)

    for _ in steps:
        pull(1, only(rgb.products(left=pulled[1][-1])[1]))
    begin(1)
    for k in reversed(steps):
        left = torch.cat((grad_product(1, k), pulled[0][-1]), -1)
        right, both = finish(1, left) if k == 0 else both_products(depth, pushed[1][-1], left)
        own, of_rgb = both.chunk(2, -1)
        push(1, k, right, own)
        pull(0, of_rgb.contiguous())
    begin(0)
    for k in reversed(steps):
        left = grad_product(0, k)
        right, own = finish(0, left) if k == 0 else both_products(rgb, pushed[0][-1], left)
        push(0, k, right, own)
    return [only(x) for x in grad_queries], [only(x) for x in grad_keys], [x[-1] for x in pushed]


def _accumulate(totals: list[Tensor | None], index: int, term: Tensor) -> None:
    """Add to a sum that need not exist yet; zeros to start from would cost memory."""
    total = totals[index]
    totals[index] = term if total is None else total + term


def _part(options: CrossDiffusionOptions, state: Tensor, moved: Tensor) -> Tensor:
    """Combine P_k = ε Y_{k+1} + ½ (1 − ε) W_k, which the other modality's affinity reads."""
    return torch.add(options.beta * moved, state, alpha=options.epsilon)


def _initial(
    options: CrossDiffusionOptions,
    affinities: list[RowBlockAffinity],
    queries: Pair,
    keys: Pair,
    m: int,
) -> list[tuple[tuple[int, int], float, RowBlockAffinity]]:
    """Return the terms of S^(0) for values of modality m: (query's, key's modality), weight, S."""
    if options.initial_affinity == "cross":
        return [((1 - m, m), 1.0, options.affinities([queries[1 - m]], [keys[m]])[0])]
    return [((j, j), 0.5, affinities[j]) for j in (0, 1)]


def _unpack(
    options: CrossDiffusionOptions, values: Pair, outputs: Sequence[Tensor], saved: Sequence[Tensor]
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Sort what was saved to W_0 … W_T, S W_0 … S W_{T−1} and Y_0 … Y_T of either modality."""
    count, remaining = options.num_steps, iter(saved)
    moved: list[Pair] = []
    products: list[Pair] = []
    states: list[Pair] = []
    for m in (0, 1):
        moved.append([values[m], *(next(remaining) for _ in range(count))])
        products.append([outputs[m], *(next(remaining) for _ in range(count - 1))])
        last = next(remaining) if options.initial_affinity != "identity" else moved[m][-1]
        descending = [last, *(next(remaining) for _ in range(count - 1)), outputs[3 - m]]
        states.append(descending[::-1])
    return moved, products, states
