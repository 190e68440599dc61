"""What holds of cross-diffusion for any tensors and options."""

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mutualformer import cross_diffusion

ITERATIONS = st.one_of(st.integers(0, 5), st.just("inf"))
OPTIONS = st.fixed_dictionaries(
    {
        "epsilon": st.floats(0.0, 0.95),
        "num_iterations": ITERATIONS,
        "initial_affinity": st.sampled_from(["identity", "average", "cross"]),
        "affinity": st.sampled_from(["softmax", "symmetric"]),
    }
)
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 9), st.integers(1, 5))
many = settings(max_examples=40, deadline=None, derandomize=True)


def make_tensors(size: tuple[int, ...], seed: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(6)]


any_tensors = st.builds(
    make_tensors, SIZES, st.integers(0, 2**32), st.sampled_from([0.0, 0.3, 1.0, 2.0])
)


def close(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(tuple(actual), tuple(expected), rtol=1e-9, atol=1e-10)


@many
@given(any_tensors, OPTIONS)
def test_the_matrix_free_form_equals_the_dense_one(tensors, options) -> None:
    dense = cross_diffusion(*tensors, **options, backend="dense")
    close(cross_diffusion(*tensors, **options, backend="matrix_free"), dense)


@many
@given(any_tensors, OPTIONS, st.integers(0, 2**32))
def test_tokens_that_change_places_take_their_outputs_along(tensors, options, seed) -> None:
    order = torch.randperm(tensors[0].shape[-2], generator=torch.Generator().manual_seed(seed))
    moved = cross_diffusion(*(tensor[..., order, :] for tensor in tensors), **options)
    close(moved, (x[..., order, :] for x in cross_diffusion(*tensors, **options)))


@many
@given(any_tensors, OPTIONS)
def test_modalities_that_change_places_exchange_their_outputs(tensors, options) -> None:
    rgb, depth, rgb_from_depth, depth_from_rgb = cross_diffusion(*tensors, **options)
    swapped = cross_diffusion(*tensors[3:], *tensors[:3], **options)
    close(swapped, (depth, rgb, depth_from_rgb, rgb_from_depth))


@many
@given(any_tensors, OPTIONS)
def test_images_and_heads_do_not_see_each_other(tensors, options) -> None:
    together = cross_diffusion(*tensors, **options)
    for image in range(len(tensors[0])):
        alone = cross_diffusion(*(tensor[image, -1] for tensor in tensors), **options)
        close((x[image, -1] for x in together), alone)


@many
@given(any_tensors, OPTIONS)
def test_what_is_read_is_linear_in_the_values_and_never_negative(tensors, options) -> None:
    def read(change: Any) -> list[Tensor]:
        q_r, k_r, v_r, q_d, k_d, v_d = tensors
        return list(cross_diffusion(q_r, k_r, change(v_r), q_d, k_d, change(v_d), **options))

    plain, positive = read(lambda v: v), read(torch.abs)
    mixed = [3 * x - 2 * y for x, y in zip(plain, positive, strict=True)]
    close(read(lambda v: 3 * v - 2 * v.abs()), mixed)
    for output in positive:
        assert (output >= -1e-12).all()


@many
@given(any_tensors, st.booleans(), st.sampled_from(["identity", "average", "cross"]))
def test_without_diffusion_rows_sum_to_one_and_outputs_lie_among_the_values(
    tensors, any_step, initial_affinity
) -> None:
    options = {"epsilon": 0.0, "num_iterations": int(any_step)}
    outputs = cross_diffusion(*tensors, **options, initial_affinity=initial_affinity)
    values = (tensors[2], tensors[5], tensors[5], tensors[2])
    for output, value in zip(outputs, values, strict=True):
        assert (output <= value.amax(-2, keepdim=True) + 1e-12).all()
        assert (output >= value.amin(-2, keepdim=True) - 1e-12).all()
    ones = [torch.ones_like(x) if index in (2, 5) else x for index, x in enumerate(tensors)]
    close(cross_diffusion(*ones, **options, initial_affinity=initial_affinity), [ones[2]] * 4)


@many
@given(any_tensors, st.integers(1, 5))
def test_without_diffusion_twins_attend_to_each_other_as_to_themselves(tensors, steps) -> None:
    q, k, v, _, _, other = tensors
    outputs = cross_diffusion(q, k, v, q, k, other, epsilon=0.0, num_iterations=steps)
    close((outputs.rgb_from_depth, outputs.depth_from_rgb), (outputs.depth, outputs.rgb))


@many
@given(st.integers(1, 6), st.integers(0, 2**32), st.floats(0.0, 0.95))
def test_infinitely_many_iterations_satisfy_the_equation_of_the_limit(size, seed, epsilon) -> None:
    tensors = make_tensors((1, 1, size, size), seed)
    # With the identity for values, what is read is the affinity itself.
    tensors[2] = tensors[5] = torch.eye(size, dtype=torch.float64)[None, None]
    s_r, s_d, s_rd, s_dr = cross_diffusion(*tensors, epsilon=epsilon, num_iterations="inf")
    average = (s_r + s_d) / 2
    close((s_rd,), (epsilon * s_r @ s_rd @ s_d.mT + (1 - epsilon) * average,))
    close((s_dr,), (epsilon * s_d @ s_dr @ s_r.mT + (1 - epsilon) * average,))
