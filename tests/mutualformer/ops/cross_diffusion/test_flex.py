"""Cross-diffusion made of torch's FlexAttention, in its eager form on a CPU, against the oracle."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flex_on_cpu import allow_gradients, allow_whole_graphs
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.costs.flops import count_flops
from mutualformer import MutualFormerBlock, cross_diffusion
from mutualformer.ops import affinity_rows
from mutualformer.ops.cross_diffusion.flops import flex_flops
from mutualformer.ops.cross_diffusion.interleaved import MAX_ITERATIONS

FLEX = {"backend": "flex"}


@pytest.fixture
def differentiable(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_gradients(monkeypatch)


def make(num_tokens: int, dim: int = 12, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_tokens)
    tensors = [torch.randn(2, 2, num_tokens, dim, generator=generator) for _ in range(6)]
    return [x.to(dtype).requires_grad_() for x in tensors]


def run(function: Callable[..., Any], tensors: list[Tensor]) -> list[Tensor]:
    """Return the outputs, and the gradients for cotangents that are the same for every backend."""
    outputs = function(*tensors)
    generator = torch.Generator().manual_seed(7)
    cotangents = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in outputs]
    gradients = torch.autograd.grad(outputs, tensors, cotangents, allow_unused=True)
    return [
        *outputs,
        *(torch.zeros_like(x) if g is None else g for x, g in zip(tensors, gradients, strict=True)),
    ]


def diffuse(backend: str, **options: Any) -> Callable[..., Any]:
    return lambda *tensors: cross_diffusion(*tensors, backend=backend, **options)


def assert_equal(got: list[Tensor], expected: list[Tensor], tolerance: float = 1e-5) -> None:
    for one, other in zip(got, expected, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", ["identity", "average", "cross"])
@pytest.mark.parametrize("num_iterations", [0, 1, 2, MAX_ITERATIONS, MAX_ITERATIONS + 1])
def test_every_option_equals_the_dense_form(
    num_iterations: int, initial_affinity: str, affinity: str
) -> None:
    options = {
        "num_iterations": num_iterations,
        "initial_affinity": initial_affinity,
        "affinity": affinity,
    }
    tensors = make(7)
    assert_equal(*(run(diffuse(name, **options), tensors) for name in ("flex", "dense")))


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize(("num_tokens", "dim"), [(1, 12), (63, 8), (121, 12), (63, 32)])
def test_awkward_sizes(num_tokens: int, dim: int) -> None:
    tensors = make(num_tokens, dim)
    assert_equal(*(run(diffuse(name), tensors) for name in ("flex", "dense")))


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_infinitely_many_iterations_and_no_diffusion(epsilon: float) -> None:
    options = {"epsilon": epsilon, "num_iterations": "inf"}
    tensors = make(7)
    assert_equal(*(run(diffuse(name, **options), tensors) for name in ("flex", "dense")))


@pytest.mark.usefixtures("differentiable")
def test_wide_products_are_divided() -> None:
    """[S V, S P] in one call would have more columns than fit beside a head."""
    tensors = make(9, 96)
    assert_equal(*(run(diffuse(name), tensors) for name in ("flex", "dense")))


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_errs_no_more_than_twice_the_plain_form(dtype: torch.dtype) -> None:
    tensors = make(100, 16, dtype)
    exact = run(diffuse("dense"), [x.detach().double().requires_grad_() for x in tensors])

    def plain(q_r: Tensor, k_r: Tensor, v_r: Tensor, q_d: Tensor, k_d: Tensor, v_d: Tensor):
        s_r, s_d = (q_r @ k_r.mT / 4).softmax(-1), (q_d @ k_d.mT / 4).softmax(-1)
        average = 0.4 * 0.5 * (s_r + s_d)
        s_rd, s_dr = 0.6 * (s_r @ s_d.mT) + average, 0.6 * (s_d @ s_r.mT) + average
        return s_r @ v_r, s_d @ v_d, s_rd @ v_d, s_dr @ v_r

    def under_autocast(*tensors: Tensor) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return cross_diffusion(*tensors, **FLEX)

    ours = run(under_autocast, tensors)
    for got, other, value in zip(ours, run(plain, tensors), exact, strict=True):
        assert got.dtype == dtype
        assert (got - value).norm() <= 2 * (other - value).norm()


def test_a_column_that_collects_more_than_float16_holds() -> None:
    tensors = [torch.zeros(1, 2500, 16, dtype=torch.float16) for _ in range(6)]
    tensors[3][:] = tensors[4][:, 7] = 8.0  # every depth token reads token 7 alone
    tensors[5][:] = 80.0  # so that W_d has 200000 there
    got, expected = (cross_diffusion(*tensors, backend=x) for x in ("flex", "dense"))
    assert expected.rgb_from_depth.float().mean() == pytest.approx(80, rel=1e-3)
    torch.testing.assert_close(got.rgb_from_depth, expected.rgb_from_depth, rtol=2e-3, atol=0)


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
def test_large_logits_stay_finite(affinity: str) -> None:
    scale = 70 if affinity == "softmax" else 3
    tensors = [(scale * x).detach().requires_grad_() for x in make(32)]
    results = run(diffuse("flex", num_iterations=3, affinity=affinity), tensors)
    assert all(x.isfinite().all() for x in results)


@pytest.mark.usefixtures("differentiable")
def test_dropout_is_that_of_the_dense_form() -> None:
    results = []
    for backend in ("flex", "dense"):
        torch.manual_seed(3)
        results.append(run(diffuse(backend, dropout_p=0.4), make(63)))
    assert_equal(*results)
    assert not torch.equal(results[0][0], cross_diffusion(*make(63), backend="dense")[0])


@pytest.mark.usefixtures("differentiable")
def test_a_graph_can_be_kept_and_first_derivatives_are_all() -> None:
    tensors = make(7)
    output = cross_diffusion(*tensors, **FLEX).rgb_from_depth.sum()
    once, again = (torch.autograd.grad(output, tensors[0], retain_graph=True)[0] for _ in range(2))
    assert torch.equal(once, again)
    (gradient,) = torch.autograd.grad(output, tensors[0], create_graph=True)
    with pytest.raises(RuntimeError):
        gradient.sum().backward()


@pytest.mark.usefixtures("differentiable")
def test_rows_of_affinities() -> None:
    tensors = [x.detach() for x in make(30)]
    given = [tensors[i] for i in (0, 1, 3, 4)]
    rows, expected = (affinity_rows(*given, [0, 29], backend=x) for x in ("flex", "dense"))
    assert_equal(list(rows), list(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_inference_on_a_cpu(dtype: torch.dtype) -> None:
    tensors = make(20, 12, dtype)
    with torch.no_grad():
        got, expected = (cross_diffusion(*tensors, backend=x) for x in ("flex", "dense"))
    assert_equal(list(got), list(expected), {torch.bfloat16: 0.02}.get(dtype, 1e-6))
    with torch.inference_mode():
        again = cross_diffusion(*tensors, **FLEX)
    assert all(torch.equal(x, y) for x, y in zip(got, again, strict=True))


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("shape", [(0, 2, 5, 16), (2, 0, 5, 16)])
def test_no_image_and_no_head(shape: tuple[int, ...]) -> None:
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(6)]
    for result in run(diffuse("flex"), tensors):
        assert result.shape == shape


def test_a_gradient_on_a_cpu_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no gradient on device cpu") as error:
        cross_diffusion(*make(7), **FLEX)
    assert "torch.no_grad()" in str(error.value)
    assert "backend='matrix_free'" in str(error.value)


@pytest.mark.usefixtures("differentiable")
def test_images_of_many_sizes_share_what_was_compiled() -> None:
    def diffuse_images(sizes: Any) -> int:
        for images, num_tokens in sizes:
            tensors = [torch.randn(images, 3, num_tokens, 20, requires_grad=True) for _ in range(6)]
            sum(x.sum() for x in cross_diffusion(*tensors, **FLEX)).backward()
        return counters["stats"]["unique_graphs"]

    first = diffuse_images([(2, 33)])
    assert diffuse_images(itertools.product((1, 2, 4, 7), (17, 40, 64, 121, 128, 200))) == first


@pytest.mark.usefixtures("differentiable")
@pytest.mark.parametrize("whole", [True, False], ids=["one graph", "around the product"])
def test_a_compiled_network_around_the_block(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if whole:
        allow_whole_graphs(monkeypatch)
    blocks = [MutualFormerBlock(32, 2, backend=x) for x in ("flex", "dense")]
    blocks[0].load_state_dict(blocks[1].state_dict())
    tokens = [torch.randn(2, 25, 32) for _ in range(2)]
    blocks[0].forward = torch.compile(blocks[0].forward, backend="aot_eager", fullgraph=whole)
    results = []
    for block in blocks:
        output = block(*tokens)
        gradients = torch.autograd.grad(output.sin().sum(), list(block.parameters()))
        results.append([output, *gradients])
    assert_equal(*results)


@pytest.mark.usefixtures("differentiable")
def test_one_graph_of_the_symmetric_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_whole_graphs(monkeypatch)
    tensors = make(33)
    expected = run(diffuse("dense", affinity="symmetric"), tensors)
    function = diffuse("flex", affinity="symmetric")
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    assert_equal(run(compiled, tensors), expected)


@pytest.mark.usefixtures("differentiable")
def test_flops_are_those_of_its_own_products() -> None:
    """By hand: five products at one step, one of which is of two matrices of values."""
    tensors, unit = make(30), 4 * 2 * 30 * 30 * 12
    with FlopCounterMode(display=False) as forward:
        outputs = cross_diffusion(*tensors, **FLEX)
    with FlopCounterMode(display=False) as backward:
        gradients = torch.autograd.grad(outputs, tensors, [torch.ones_like(x) for x in outputs])
    assert forward.get_total_flops() == (4 * 2 + 3) * unit
    assert backward.get_total_flops() == (4 * 5 + 7) * unit
    expected = torch.autograd.grad(
        sum(x.sum() for x in cross_diffusion(*tensors, backend="dense")), tensors
    )
    assert_equal(list(gradients), list(expected))


def test_flops_of_many_steps_hold_those_made_twice() -> None:
    shapes = [(1, 30, 8)] * 6

    def both(count: int) -> tuple[int, int]:
        return flex_flops(shapes, (0.6, count, "identity", "symmetric", "flex"))

    (forward, backward), (start, of_start) = both(9), both(0)
    # Two matrices of values per read of a step, one per move: forward 3 and 2, backward 7 and 5.
    unit, stretch = 2 * 30 * 30 * 8, (8, 1)
    moves = sum(2 * length + 2 * (length - 1) for length in stretch)
    reads = 2 * sum(stretch)
    assert forward - start == (2 * moves + 3 * reads) * unit
    assert backward - of_start == (5 * moves + 7 * reads) * unit + (forward - start)


def test_what_costs_are_counted_by_counts_it() -> None:
    block = MutualFormerBlock(16, 2, backend="flex").eval()
    rows = MutualFormerBlock(16, 2, backend="matrix_free").eval()
    streams = torch.randn(2, 1, 25, 16)
    with torch.no_grad():
        counts = [count_flops(lambda x=x: x(*streams)) for x in (block, rows)]
    assert counts[0] - counts[1] == (11 - 9) * 2 * 25 * 25 * 16


def test_tensors_without_data_and_mapped_ones() -> None:
    meta = [x.detach().to("meta") for x in make(7)]
    assert cross_diffusion(*meta, **FLEX).rgb.shape == (2, 2, 7, 12)
    tensors = [x.detach() for x in make(7)]
    mapped = torch.func.vmap(lambda *x: tuple(cross_diffusion(*x, **FLEX)))(*tensors)
    assert_equal(list(mapped), list(cross_diffusion(*tensors, backend="dense")))
