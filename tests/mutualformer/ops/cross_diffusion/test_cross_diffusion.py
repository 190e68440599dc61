"""Cross-diffusion attention against the formulas of the paper, written out head by head."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mutualformer import cross_diffusion
from mutualformer.ops import CrossDiffusionOptions

INITIAL_AFFINITIES = ("identity", "average", "cross")


def make_tensors(num_tokens: int = 5, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, num_tokens, 4, generator=generator, dtype=dtype) for _ in range(6)]


def literal(
    tensors: list[Tensor],
    *,
    epsilon: float,
    num_iterations: int,
    initial_affinity: str = "identity",
    affinity: str = "softmax",
) -> list[Tensor]:
    """Evaluate the definition one head at a time, with D and its inverse root as matrices."""
    outputs = [torch.empty_like(tensors[0]) for _ in range(4)]
    for index in itertools.product(*map(range, tensors[0].shape[:-2])):
        q_r, k_r, v_r, q_d, k_d, v_d = (tensor[index] for tensor in tensors)
        root = math.sqrt(q_r.shape[-1])
        exp_r, exp_d = torch.exp(q_r @ k_r.T / root), torch.exp(q_d @ k_d.T / root)
        s_r = exp_r / exp_r.sum(1, keepdim=True)
        s_d = exp_d / exp_d.sum(1, keepdim=True)
        start_r, start_d = (s_r, s_d) if affinity == "softmax" else (exp_r, exp_d)
        d_r = torch.diag(start_r.sum(1) ** -0.5)
        d_d = torch.diag(start_d.sum(1) ** -0.5)
        n_r, n_d = d_r @ start_r @ d_r, d_d @ start_d @ d_d
        average = (n_r + n_d) / 2
        s_rd = s_dr = torch.eye(len(q_r), dtype=q_r.dtype)
        if initial_affinity == "average":
            s_rd = s_dr = average
        if initial_affinity == "cross":
            s_rd = torch.softmax(q_r @ k_d.T / root, 1)
            s_dr = torch.softmax(q_d @ k_r.T / root, 1)
        for _ in range(num_iterations):
            s_rd = epsilon * n_r @ s_rd @ n_d.T + (1 - epsilon) * average
            s_dr = epsilon * n_d @ s_dr @ n_r.T + (1 - epsilon) * average
        for output, value in zip(
            outputs, (s_r @ v_r, s_d @ v_d, s_rd @ v_d, s_dr @ v_r), strict=True
        ):
            output[index] = value
    return outputs


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", INITIAL_AFFINITIES)
@pytest.mark.parametrize("num_iterations", [0, 1, 2, 5])
@pytest.mark.parametrize("num_tokens", [1, 2, 7])
def test_outputs_and_gradients_equal_the_definition(
    num_tokens: int, num_iterations: int, initial_affinity: str, affinity: str
) -> None:
    options = {
        "epsilon": 0.6,
        "num_iterations": num_iterations,
        "initial_affinity": initial_affinity,
        "affinity": affinity,
    }
    ours, theirs = make_tensors(num_tokens), make_tensors(num_tokens)
    for tensor in ours + theirs:
        tensor.requires_grad_()
    outputs, expected = cross_diffusion(*ours, **options), literal(theirs, **options)
    cotangents = make_tensors(num_tokens)[:4]
    for output, value in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, value, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(outputs, ours, cotangents, allow_unused=True)
    expected_gradients = torch.autograd.grad(expected, theirs, cotangents, allow_unused=True)
    for gradient, value in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, value, rtol=1e-9, atol=1e-11)


def test_every_iteration_changes_the_output() -> None:
    outputs = [
        cross_diffusion(*make_tensors(), epsilon=0.6, num_iterations=count).rgb_from_depth
        for count in range(5)
    ]
    steps = [(b - a).norm().item() for a, b in itertools.pairwise(outputs)]
    assert all(step > 1e-4 for step in steps)


def test_without_diffusion_the_average_affinity_reads_the_other_modality() -> None:
    tensors = make_tensors()
    q_r, k_r, v_r, q_d, k_d, v_d = tensors
    average = 0.5 * ((q_r @ k_r.mT / 2).softmax(-1) + (q_d @ k_d.mT / 2).softmax(-1))
    output = cross_diffusion(*tensors, epsilon=0.0, num_iterations=1)
    torch.testing.assert_close(output.rgb_from_depth, average @ v_d)
    torch.testing.assert_close(output.depth_from_rgb, average @ v_r)


def test_no_iteration_reads_with_the_initial_affinity() -> None:
    tensors = make_tensors()
    output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=0)
    torch.testing.assert_close(output.rgb_from_depth, tensors[5])
    torch.testing.assert_close(output.depth_from_rgb, tensors[2])


@pytest.mark.parametrize("initial_affinity", INITIAL_AFFINITIES)
def test_only_cross_compares_rgb_queries_with_depth_keys(initial_affinity: str) -> None:
    """Rotate the RGB feature space: affinities within RGB stay, RGB against depth would not."""
    tensors = make_tensors()
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    rotated = [tensors[0] @ rotation, tensors[1] @ rotation, *tensors[2:]]
    options = {"epsilon": 0.6, "num_iterations": 2, "initial_affinity": initial_affinity}
    before, after = cross_diffusion(*tensors, **options), cross_diffusion(*rotated, **options)
    unchanged = torch.allclose(before.rgb_from_depth, after.rgb_from_depth, atol=1e-10)
    assert unchanged == (initial_affinity != "cross")


def test_the_limit_does_not_depend_on_the_initial_affinity() -> None:
    def run(initial_affinity: str, num_iterations: int) -> Tensor:
        return cross_diffusion(
            *make_tensors(),
            epsilon=0.6,
            num_iterations=num_iterations,
            initial_affinity=initial_affinity,
        ).rgb_from_depth

    for one, other in itertools.combinations(INITIAL_AFFINITIES, 2):
        assert not torch.allclose(run(one, 2), run(other, 2), atol=1e-3)
        torch.testing.assert_close(run(one, 80), run(other, 80), rtol=0, atol=1e-12)


def test_swapping_the_modalities_swaps_the_outputs() -> None:
    tensors = make_tensors()
    output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=2)
    swapped = cross_diffusion(*tensors[3:], *tensors[:3], epsilon=0.6, num_iterations=2)
    torch.testing.assert_close(output.rgb, swapped.depth)
    torch.testing.assert_close(output.rgb_from_depth, swapped.depth_from_rgb)


def test_any_leading_shape_and_memory_order() -> None:
    tensors = make_tensors()
    expected = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1).rgb_from_depth
    flat = [tensor.flatten(0, 1) for tensor in tensors]
    output = cross_diffusion(*flat, epsilon=0.6, num_iterations=1).rgb_from_depth
    torch.testing.assert_close(output, expected.flatten(0, 1))
    strided = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    output = cross_diffusion(*strided, epsilon=0.6, num_iterations=1).rgb_from_depth
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_once(dtype: torch.dtype) -> None:
    tensors = [tensor.to(dtype) for tensor in make_tensors(16)]
    exact = cross_diffusion(*[t.double() for t in tensors], epsilon=0.6, num_iterations=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=3)
    for got, value in zip(output, exact, strict=True):
        assert got.dtype == dtype
        error = (got.double() - value).abs()
        assert (error <= torch.finfo(dtype).eps * value.abs() + 1e-6).all()


@pytest.mark.parametrize(("affinity", "scale"), [("softmax", 100), ("symmetric", 4)])
def test_large_logits_stay_finite(affinity: str, scale: float) -> None:
    """Logits near 1e4; less where an affinity of exp(half their range) must fit the dtype."""
    tensors = [scale * tensor for tensor in make_tensors(16, torch.float32)]
    for tensor in tensors:
        tensor.requires_grad_()
    output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=2, affinity=affinity)
    sum(value.sum() for value in output).backward()
    assert all(value.isfinite().all() for value in output)
    assert all(tensor.grad.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epsilon": 1.0}, "epsilon is 1.0, expected 0 <= epsilon < 1"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"num_iterations": -1}, "num_iterations is -1, expected an integer >= 0"),
        ({"num_iterations": 1.5}, "num_iterations is 1.5"),
        ({"num_iterations": True}, "num_iterations is True"),
        ({"initial_affinity": "ones"}, "initial_affinity is 'ones', expected one of identity"),
        ({"affinity": "cosine"}, "affinity is 'cosine'"),
        ({"backend": "cuda"}, "backend is 'cuda'"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        cross_diffusion(*make_tensors(), **{"epsilon": 0.6, "num_iterations": 1, **options})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("index", "tensor", "words"),
    [
        (4, torch.zeros(2, 3, 6, 4, dtype=torch.float64), "key_depth has shape (2, 3, 6, 4)"),
        (2, torch.zeros(2, 3, 5, 4), "value_rgb has dtype torch.float32, expected torch.float64"),
        (1, torch.zeros(2, 3, 5, 4, dtype=torch.float64, device="meta"), "key_rgb has device meta"),
        (0, torch.zeros(2, 3, 0, 4, dtype=torch.float64), "N, D >= 1"),
        (0, torch.zeros(2, 3, 5, 4, dtype=torch.int64), "expected a floating-point dtype"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(index: int, tensor: Tensor, words: str) -> None:
    tensors = make_tensors()
    tensors[index] = tensor
    with pytest.raises(ValueError, match="expected") as error:
        cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)
    assert words in str(error.value)


def test_options_can_be_checked_without_tensors() -> None:
    CrossDiffusionOptions(0.0, 0, "cross", "symmetric", "dense")
    with pytest.raises(ValueError, match="epsilon"):
        CrossDiffusionOptions(2.0, 0, "cross", "symmetric", "dense")
