"""The matrix-free form against the dense one: outputs, gradients, memory, tracing."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mutualformer import CrossDiffusionOutput, cross_diffusion
from mutualformer.ops import CrossDiffusionOptions
from mutualformer.ops.affinity import row_block_affinity
from mutualformer.ops.cross_diffusion.interleaved import MAX_ITERATIONS


def make_tensors(
    num_tokens: int, dtype: torch.dtype = torch.float64, heads: int = 2, dim: int = 4
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_tokens)
    return [
        torch.randn(2, heads, num_tokens, dim, generator=generator, dtype=torch.float64)
        .to(dtype)
        .requires_grad_()
        for _ in range(6)
    ]


def run(tensors: list[Tensor], backend: str, **options: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs, and the gradients for cotangents that are the same for every backend."""
    options = {"epsilon": 0.6, "num_iterations": 1, **options}
    outputs = cross_diffusion(*tensors, backend=backend, **options)
    generator = torch.Generator().manual_seed(7)
    cotangents = [
        torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)
        for output in outputs
    ]
    gradients = torch.autograd.grad(outputs, tensors, cotangents, allow_unused=True)
    filled = [
        torch.zeros_like(tensor) if gradient is None else gradient
        for tensor, gradient in zip(tensors, gradients, strict=True)
    ]
    return list(outputs), filled


def assert_equal_to_dense(tensors: list[Tensor], tolerance: float, **options: Any) -> None:
    dense, ours = run(tensors, "dense", **options), run(tensors, "matrix_free", **options)
    for expected, got in zip(dense[0] + dense[1], ours[0] + ours[1], strict=True):
        assert got.dtype == expected.dtype
        error = (got - expected).abs().max()
        assert error <= tolerance * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", ["identity", "average", "cross"])
@pytest.mark.parametrize("num_iterations", [0, 1, 2, MAX_ITERATIONS, MAX_ITERATIONS + 1, 20])
@pytest.mark.parametrize("num_tokens", [1, 2, 7])
def test_every_option_equals_the_dense_form(
    num_tokens: int,
    num_iterations: int,
    initial_affinity: str,
    affinity: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_block_affinity, "CPU_BLOCK", 3 * num_tokens)
    assert_equal_to_dense(
        make_tensors(num_tokens),
        1e-10,
        num_iterations=num_iterations,
        initial_affinity=initial_affinity,
        affinity=affinity,
    )


@pytest.mark.parametrize("block", [2**18, 1000, 64])
@pytest.mark.parametrize(
    ("num_tokens", "dtype", "tolerance"),
    [
        (63, torch.float64, 1e-10),
        (100, torch.float64, 1e-10),
        (63, torch.float32, 1e-5),
        (100, torch.float32, 1e-5),
    ],
)
def test_awkward_sizes_and_uneven_blocks(
    num_tokens: int,
    dtype: torch.dtype,
    tolerance: float,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_block_affinity, "CPU_BLOCK", block)
    assert_equal_to_dense(make_tensors(num_tokens, dtype, dim=16), tolerance, num_iterations=2)


def test_a_thousand_tokens() -> None:
    assert_equal_to_dense(make_tensors(1000, torch.float32, heads=1, dim=16), 1e-5)


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.99])
@pytest.mark.parametrize("num_iterations", [1, 3, 12])
def test_ends_of_the_range_of_epsilon(epsilon: float, num_iterations: int) -> None:
    assert_equal_to_dense(make_tensors(9), 1e-10, epsilon=epsilon, num_iterations=num_iterations)


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("num_iterations", [0, 1, 2, 10])
def test_gradcheck(num_iterations: int, affinity: str) -> None:
    def function(*tensors: Tensor) -> CrossDiffusionOutput:
        return cross_diffusion(
            *tensors,
            epsilon=0.6,
            num_iterations=num_iterations,
            initial_affinity="cross",
            affinity=affinity,
            backend="matrix_free",
        )

    assert torch.autograd.gradcheck(function, make_tensors(3, heads=1, dim=2))


def test_second_derivatives_are_the_dense_form_s_alone() -> None:
    tensors = make_tensors(3, heads=1, dim=2)

    def function(backend: str) -> Callable[..., CrossDiffusionOutput]:
        return lambda *x: cross_diffusion(*x, epsilon=0.6, num_iterations=2, backend=backend)

    assert torch.autograd.gradgradcheck(function("dense"), tensors)
    output = function("matrix_free")(*tensors).rgb.sum()
    (gradient,) = torch.autograd.grad(output, tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="use backend='dense' for second derivatives"):
        gradient.sum().backward()


def test_unused_outputs_and_inputs() -> None:
    tensors = make_tensors(7)
    tensors[3].requires_grad_(False)
    for backend in ("dense", "matrix_free"):
        output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1, backend=backend)
        output.rgb_from_depth.sum().backward()
    gradients = [tensor.grad for tensor in tensors]
    assert gradients[3] is None
    # Both backends added the same, so half of it is what either gave.
    once = torch.autograd.grad(
        cross_diffusion(
            *tensors, epsilon=0.6, num_iterations=1, backend="dense"
        ).rgb_from_depth.sum(),
        tensors[0],
    )[0]
    torch.testing.assert_close(gradients[0], 2 * once)


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
def test_large_logits_stay_finite(affinity: str) -> None:
    scale = 70 if affinity == "softmax" else 3
    tensors = [(scale * x).detach().requires_grad_() for x in make_tensors(32, torch.float32)]
    logits = tensors[0] @ tensors[1].mT / 2
    assert affinity == "symmetric" or logits.abs().max() > 1e4
    outputs, gradients = run(tensors, "matrix_free", num_iterations=3, affinity=affinity)
    assert all(x.isfinite().all() for x in outputs + gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("num_iterations", [1, 3])
def test_half_precision_errs_no_more_than_twice_the_plain_form(
    num_iterations: int, dtype: torch.dtype
) -> None:
    tensors = make_tensors(100, dtype, dim=16)
    exact = run([x.detach().double().requires_grad_() for x in tensors], "dense",
                num_iterations=num_iterations)  # fmt: skip
    ours = run(tensors, "matrix_free", num_iterations=num_iterations)

    def plain(q_r: Tensor, k_r: Tensor, v_r: Tensor, q_d: Tensor, k_d: Tensor, v_d: Tensor):
        s_r, s_d = (q_r @ k_r.mT / 4).softmax(-1), (q_d @ k_d.mT / 4).softmax(-1)
        average = 0.5 * (s_r + s_d)
        s_rd = s_dr = torch.eye(100, dtype=dtype)
        for _ in range(num_iterations):
            s_rd = 0.6 * (s_r @ s_rd @ s_d.mT) + 0.4 * average
            s_dr = 0.6 * (s_d @ s_dr @ s_r.mT) + 0.4 * average
        return s_r @ v_r, s_d @ v_d, s_rd @ v_d, s_dr @ v_r

    generator = torch.Generator().manual_seed(7)
    outputs = plain(*tensors)
    cotangents = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(dtype) for x in outputs
    ]
    theirs = [*outputs, *torch.autograd.grad(outputs, tensors, cotangents)]
    for got, other, value in zip(ours[0] + ours[1], theirs, exact[0] + exact[1], strict=True):
        assert (got - value).norm() <= 2 * (other - value).norm()


def test_autocast_and_memory_order_change_nothing() -> None:
    tensors = [x.detach().float() for x in make_tensors(33)]
    expected = cross_diffusion(*tensors, epsilon=0.6, num_iterations=2, backend="matrix_free")
    strided = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in tensors]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = cross_diffusion(*strided, epsilon=0.6, num_iterations=2, backend="matrix_free")
    for got, value in zip(output, expected, strict=True):
        torch.testing.assert_close(got, value)


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.9])
def test_infinitely_many_iterations_are_the_fixed_point(epsilon: float, affinity: str) -> None:
    tensors = make_tensors(6, heads=1)
    options = {"epsilon": epsilon, "affinity": affinity}
    ours = run(tensors, "matrix_free", num_iterations="inf", **options)
    far = CrossDiffusionOptions(epsilon, "inf").resolve(torch.float64).num_steps + 50
    dense = run(tensors, "dense", num_iterations=far, initial_affinity="average", **options)
    for got, expected in zip(ours[0] + ours[1], dense[0] + dense[1], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    again = run(tensors, "matrix_free", num_iterations=math.inf, **options)
    assert torch.equal(again[0][2], ours[0][2])


def test_steps_shrink_like_epsilon_and_end_below_the_tolerance() -> None:
    tensors = [x.detach() for x in make_tensors(20)]
    num_steps = CrossDiffusionOptions(0.6, "inf").resolve(torch.float32).num_steps
    assert num_steps == 32
    states = [
        torch.stack(cross_diffusion(*tensors, epsilon=0.6, num_iterations=count)[2:])
        for count in range(num_steps + 1)
    ]
    residuals = torch.stack(
        [(new - old).norm() / new.norm() for old, new in itertools.pairwise(states)]
    )
    ratios = residuals[5:25] / residuals[4:24]
    assert ((ratios > 0.5) & (ratios < 0.7)).all()
    assert residuals[-1] < 1e-6


def test_compiles_without_a_graph_break() -> None:
    tensors = make_tensors(7)

    def function(*x: Tensor) -> Tensor:
        output = cross_diffusion(*x, epsilon=0.6, num_iterations=2, backend="matrix_free")
        return sum(value.square().sum() for value in output)

    expected = torch.autograd.grad(function(*tensors), tensors)
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    for got, value in zip(torch.autograd.grad(compiled(*tensors), tensors), expected, strict=True):
        torch.testing.assert_close(got, value)


def test_exports_with_a_dynamic_batch() -> None:
    class Module(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> CrossDiffusionOutput:
            return cross_diffusion(*tensors, epsilon=0.6, num_iterations=1, backend="matrix_free")

    tensors = tuple(x.detach() for x in make_tensors(7))
    batch = torch.export.Dim("batch")
    shapes = ({0: batch},) * 6
    exported = torch.export.export(Module(), tensors, dynamic_shapes=(shapes,))
    more = [torch.cat((x, x, x)) for x in tensors]
    for got, value in zip(exported.module()(*more), Module()(*more), strict=True):
        torch.testing.assert_close(got, value)


@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", ["identity", "average"])
@pytest.mark.parametrize("num_iterations", [0, 1, 3, 9])
def test_the_operator_keeps_torch_s_contract(
    num_iterations: int, initial_affinity: str, affinity: str
) -> None:
    tensors = [x.detach().flatten(0, 1).requires_grad_() for x in make_tensors(5)]
    arguments = (*tensors, 0.6, num_iterations, initial_affinity, affinity, "matrix_free")
    torch.library.opcheck(torch.ops.mutualformer.cross_diffusion, arguments)


def test_meta_tensors_give_shapes() -> None:
    tensors = [x.detach().to("meta") for x in make_tensors(7, torch.bfloat16)]
    output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=4, backend="matrix_free")
    assert all((x.shape, x.dtype, x.device.type) == ((2, 2, 7, 4), torch.bfloat16, "meta")
               for x in output)  # fmt: skip


@pytest.mark.parametrize("backend", ["dense", "matrix_free"])
def test_dropout_hides_whole_tokens_and_keeps_the_mean(backend: str) -> None:
    tensors = make_tensors(200)
    options = {"epsilon": 0.6, "num_iterations": 0, "backend": backend}
    output = cross_diffusion(*tensors, dropout_p=0.25, **options)
    # Without iterations from the identity, M_rd is V_d itself, as dropped.
    ratio = output.rgb_from_depth / tensors[5]
    hidden = ratio == 0
    assert torch.equal(hidden.all(-1), hidden.any(-1))
    assert hidden.double().mean().item() == pytest.approx(0.25, abs=0.06)
    torch.testing.assert_close(ratio[~hidden], torch.full_like(ratio[~hidden], 1 / 0.75))
    with pytest.raises(ValueError, match="dropout_p is 1, expected 0 <= dropout_p < 1"):
        cross_diffusion(*tensors, dropout_p=1, **options)


def test_auto_is_the_matrix_free_form_on_a_cpu() -> None:
    tensors = make_tensors(30)
    auto = cross_diffusion(*tensors, epsilon=0.6, num_iterations=2)
    named = cross_diffusion(*tensors, epsilon=0.6, num_iterations=2, backend="matrix_free")
    assert all(torch.equal(x, y) for x, y in zip(auto, named, strict=True))
