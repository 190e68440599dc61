"""Regularized diffusion: its closed form, its rate, and that cross-diffusion contains it."""

import pytest
import torch
from torch import Tensor

from mutualformer import cross_diffusion, regularized_diffusion
from mutualformer.ops import diffuse, diffusion_limit, regularized_diffusion_limit
from mutualformer.ops.diffusion import normalize_symmetrically

EPSILON = 0.6


def make_similarity(size: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(size, size, generator=generator, dtype=torch.float64) + 0.1


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("num_iterations", [0, 1, 2, 7])
def test_cross_diffusion_of_a_modality_with_itself_is_regularized_diffusion(
    num_iterations: int, affinity: str
) -> None:
    query, key, value = (torch.randn(6, 4, dtype=torch.float64) for _ in range(3))
    output = cross_diffusion(
        *(query, key, value) * 2,
        epsilon=EPSILON,
        num_iterations=num_iterations,
        affinity=affinity,
    )
    logits = query @ key.mT / 2
    similarity = logits.softmax(-1) if affinity == "softmax" else logits.exp()
    diffused = regularized_diffusion(similarity, epsilon=EPSILON, num_iterations=num_iterations)
    torch.testing.assert_close(output.rgb_from_depth, diffused @ value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output.depth_from_rgb, diffused @ value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("with_target", [False, True])
def test_sixty_iterations_reach_the_closed_form(with_target: bool) -> None:
    similarity = make_similarity()
    target = torch.eye(6, dtype=torch.float64) if with_target else None
    limit = regularized_diffusion_limit(similarity, epsilon=EPSILON, target=target)
    reached = regularized_diffusion(similarity, epsilon=EPSILON, num_iterations=60, target=target)
    assert (reached - limit).abs().max() < 1e-10


def test_the_limit_takes_tensors_in_any_layout() -> None:
    left, right, target = torch.softmax(torch.randn(3, 7, 7), dim=-1)
    expected = diffusion_limit(left, right, target, epsilon=0.6)
    strided = [x.mT.contiguous().mT for x in (left, right, target)]
    assert torch.equal(diffusion_limit(*strided, epsilon=0.6), expected)


def test_the_limit_is_a_fixed_point_of_cross_diffusion() -> None:
    left = make_similarity().softmax(-1)
    right = make_similarity().mT.softmax(-1)
    target = 0.5 * (left + right)
    limit = diffusion_limit(left, right, target, epsilon=EPSILON)
    again = diffuse(left, right, target, limit, epsilon=EPSILON, num_iterations=1)
    torch.testing.assert_close(again, limit, rtol=0, atol=1e-14)


@pytest.mark.parametrize("epsilon", [0.3, 0.6, 0.9])
def test_the_error_shrinks_like_epsilon_to_the_iterations(epsilon: float) -> None:
    similarity = make_similarity().softmax(-1)
    limit = regularized_diffusion_limit(similarity, epsilon=epsilon)
    # From a start whose error does not vanish under S on either side: a constant matrix, which
    # a row-stochastic S keeps.
    initial = limit + torch.ones_like(limit)
    for num_iterations in (1, 5, 20):
        state = regularized_diffusion(
            similarity, epsilon=epsilon, num_iterations=num_iterations, initial=initial
        )
        error = (state - limit).abs().max().item()
        assert error == pytest.approx(epsilon**num_iterations, rel=1e-6)
    # From the identity, the error is at most that, times a constant.
    first = (torch.eye(6, dtype=torch.float64) - limit).norm()
    for num_iterations in range(1, 30):
        state = regularized_diffusion(similarity, epsilon=epsilon, num_iterations=num_iterations)
        assert (state - limit).norm() <= 6 * first * epsilon**num_iterations + 1e-13


def test_normalisation_leaves_a_softmax_alone_and_bounds_anything_else() -> None:
    similarity = make_similarity()
    stochastic = similarity.softmax(-1)
    torch.testing.assert_close(normalize_symmetrically(stochastic), stochastic)
    radius = torch.linalg.eigvals(normalize_symmetrically(100 * similarity)).abs().max()
    assert radius.item() == pytest.approx(1.0)
