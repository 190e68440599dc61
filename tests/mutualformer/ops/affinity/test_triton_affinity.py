"""The GPU kernels against explicit matrices in float64.

With a CUDA device the tests run on it. Without one they run in Triton's interpreter, in a process
of their own, because it must be asked for before Triton is imported.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mutualformer import cross_diffusion
from mutualformer.ops import choose_backend
from mutualformer.ops.affinity.triton.triton_affinity import TritonAffinity, is_interpreted
from mutualformer.ops.cross_diffusion import backends
from mutualformer.ops.cross_diffusion.dense import scaled_logits, symmetric_affinity
from mutualformer.ops.diffusion import diffuse

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"
CAN_RUN = backends.TRITON_IS_INSTALLED and (HAS_GPU or is_interpreted())
runs_kernels = pytest.mark.skipif(not CAN_RUN, reason="runs in the interpreter's own process")
SIZES = [(1, 8), (2, 16), (63, 8), (100, 40), (33, 64)]
LONG_CASES = [("identity", "softmax"), ("cross", "symmetric")]
BLOCKS = [(32, 16, 4, 1), (16, 32, 4, 1)]
BLOCKS_FLOAT32: list[tuple[int, int, int, int]] = []
BLOCKS_BFLOAT16: list[tuple[int, int, int, int]] = []
if HAS_GPU and CAN_RUN:
    from mutualformer.ops.affinity.triton import launch as triton_launch

    def _blocks(configs: list) -> list[tuple[int, int, int, int]]:
        return [
            (*config.kwargs.values(), config.num_warps, config.num_stages) for config in configs
        ]

    BLOCKS_FLOAT32 = _blocks(triton_launch.FLOAT32_CONFIGS)
    BLOCKS_BFLOAT16 = _blocks(triton_launch.BFLOAT16_CONFIGS)


def use_blocks(monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]) -> None:
    """Let all kernels use these block sizes."""
    from mutualformer.ops.affinity.triton import launch as triton_launch

    config = triton_launch._config(*blocks)
    monkeypatch.setattr(triton_launch, "SMALL_CONFIG", config)
    monkeypatch.setattr(triton_launch, "FLOAT32_CONFIGS", [config])
    monkeypatch.setattr(triton_launch, "BFLOAT16_CONFIGS", [config])
    triton_launch._tuned.cache_clear()


@contextmanager
def skip_if_too_large() -> Iterator[None]:
    """Skip block sizes that this GPU has not enough shared memory for, as tuning does."""
    from triton.runtime.errors import OutOfResources

    try:
        yield
    except OutOfResources as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _no_tuning(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tune nothing: it would take minutes. Every block size has a test of its own."""
    if not CAN_RUN:
        yield
        return
    from mutualformer.ops.affinity.triton import launch as triton_launch

    use_blocks(monkeypatch, (32, 32, 4, 1))
    yield
    triton_launch._tuned.cache_clear()


def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(DEVICE, dtype)


def relative_error(got: Tensor, expected: Tensor) -> float:
    difference = (got.double() - expected.double()).norm()
    return (difference / expected.double().norm().clamp_min(1e-6)).item()


def explicit(query: Tensor, key: Tensor) -> Tensor:
    return scaled_logits(query.double(), key.double()).softmax(-1)


def explicit_gradients(
    query: Tensor, key: Tensor, outer_left: Tensor, outer_right: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of Q / √D and K by autograd, and nothing else of the code under test."""
    root = query.shape[-1] ** 0.5
    scaled = (query.double() / root).requires_grad_()
    double_key = key.double().requires_grad_()
    affinity = (scaled @ double_key.mT).softmax(-1)
    cotangent = outer_left.double() @ outer_right.double().mT
    return torch.autograd.grad(affinity, (scaled, double_key), cotangent)


def check_everything(num_tokens: int, width: int, rank: int, dtype: torch.dtype, bound: float):
    """Compare products, the log-sum-exp, gradients, and the products that share their pass."""
    query, key = (make(2, num_tokens, width, dtype=dtype) for _ in range(2))
    affinity, matrix = TritonAffinity(query, key), explicit(query, key)
    right, left = make(2, num_tokens, width), make(2, num_tokens, 2 * width)
    got_right, got_left = affinity.products(right, left)
    assert relative_error(got_right, matrix @ right.double()) < bound
    assert relative_error(got_left, matrix.mT @ left.double()) < bound
    expected = scaled_logits(query.double(), key.double()).logsumexp(-1)
    assert (affinity.log_sum_exp - expected).abs().max() < 1e-5 * (1 + expected.abs().max())
    again, _ = affinity.products(right)  # now with a known log-sum-exp
    assert relative_error(again, matrix @ right.double()) < bound

    outer_left, outer_right = (make(2, num_tokens, rank) for _ in range(2))
    product = outer_left.double() @ outer_right.double().mT
    weight = make(2, num_tokens, width)
    grad_query, grad_key, got_right, got_left = affinity.gradients(
        torch.cat((outer_left, weight), -1),
        torch.cat((outer_right, right), -1),
        (matrix * product).sum(-1).float(),
        right,
        weight,
        left,
    )
    assert relative_error(got_right, matrix @ right.double()) < bound
    assert relative_error(got_left, matrix.mT @ left.double()) < bound
    expected_query, expected_key = explicit_gradients(
        query, key, torch.cat((outer_left, weight), -1), torch.cat((outer_right, right), -1)
    )
    if num_tokens == 1:  # S = 1 whatever the logits are, so that nothing but rounding is left
        scale = product.abs().max() * max(query.abs().max(), key.abs().max()).double()
        assert max(grad_query.abs().max(), grad_key.abs().max()) < bound * scale
    else:
        assert relative_error(grad_query, expected_query) < 2 * bound
        assert relative_error(grad_key, expected_key) < 2 * bound


@pytest.mark.slow
@pytest.mark.skipif(CAN_RUN, reason="the tests below run here")
@pytest.mark.skipif(not backends.TRITON_IS_INSTALLED, reason="triton is not installed")
def test_all_of_this_in_the_interpreter() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-10_000:] + finished.stderr[-2_000:]
    assert " passed" in finished.stdout


@runs_kernels
@pytest.mark.parametrize("num_factors", [1, 2, 6])
@pytest.mark.parametrize(("num_tokens", "width"), SIZES)
def test_products_and_gradients(num_tokens: int, width: int, num_factors: int) -> None:
    if num_factors == 6 and width > 16 and not HAS_GPU:
        pytest.skip("long ranks are tried at small widths in the interpreter")
    check_everything(num_tokens, width, num_factors * width, torch.float32, 1e-5)


@runs_kernels
@pytest.mark.parametrize("blocks", [*BLOCKS, *BLOCKS_FLOAT32])
def test_block_sizes_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]
) -> None:
    use_blocks(monkeypatch, blocks)
    with skip_if_too_large():
        check_everything(75, 64 if HAS_GPU else 16, 32, torch.float32, 1e-5)


@runs_kernels
@pytest.mark.parametrize("blocks", [*BLOCKS, *BLOCKS_BFLOAT16])
def test_block_sizes_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]
) -> None:
    use_blocks(monkeypatch, blocks)
    with skip_if_too_large():
        check_everything(75, 64 if HAS_GPU else 16, 32, torch.bfloat16, 1e-2)


@runs_kernels
@pytest.mark.parametrize("columns", [1, 16, 100, 130])
def test_products_of_any_width(columns: int) -> None:
    """Also wider than one program accumulates, also Sᵀ Y first, also strided."""
    query, key = make(1, 40, 8), make(1, 40, 8)
    matrix, states = explicit(query, key), make(1, 40, 2 * columns)[..., ::2]
    _, left = TritonAffinity(query, key).products(left=states)
    right, _ = TritonAffinity(query, key).products(states)
    assert relative_error(left, matrix.mT @ states.double()) < 1e-5
    assert relative_error(right, matrix @ states.double()) < 1e-5
    outer = make(1, 40, 8)
    delta = (matrix * (outer @ outer.mT).double()).sum(-1).float()
    *_, left = TritonAffinity(query, key).gradients(outer, outer, delta, left=states)
    assert relative_error(left, matrix.mT @ states.double()) < 1e-5


def run_operation(
    tensors: list[Tensor], cotangents: list[Tensor], **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    outputs = cross_diffusion(*tensors, epsilon=0.6, **options)
    gradients = torch.autograd.grad(
        outputs, tensors, [c.to(outputs[0].dtype) for c in cotangents], materialize_grads=True
    )
    return list(outputs), list(gradients)


@runs_kernels
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", ["identity", "average", "cross"])
@pytest.mark.parametrize("num_iterations", [0, 1, 2, 9])
def test_operation_equals_the_dense_form(
    num_iterations: int, initial_affinity: str, affinity: str
) -> None:
    if num_iterations == 9 and not HAS_GPU and (initial_affinity, affinity) not in LONG_CASES:
        pytest.skip("two long cases are enough in the interpreter")
    shape = (1, 2, 100, 64) if HAS_GPU else (1, 1, 20 if num_iterations == 9 else 35, 8)
    tensors = [make(*shape) for _ in range(6)]
    cotangents = [make(*shape) for _ in range(4)]
    options = {
        "num_iterations": num_iterations,
        "initial_affinity": initial_affinity,
        "affinity": affinity,
    }
    got = run_operation(tensors, cotangents, backend="triton", **options)
    doubles = [tensor.double() for tensor in tensors]
    expected = run_operation(doubles, cotangents, backend="dense", **options)
    for results, values in zip(got, expected, strict=True):
        for result, value in zip(results, values, strict=True):
            assert result.dtype == torch.float32
            assert relative_error(result, value) < 1e-5


def plain(tensors: list[Tensor], num_iterations: int, affinity: str) -> list[Tensor]:
    """Write cross-diffusion down in PyTorch, every step in the dtype of the tensors."""
    q_r, k_r, v_r, q_d, k_d, v_d = tensors
    logits = scaled_logits(q_r, k_r), scaled_logits(q_d, k_d)
    attend = [x.softmax(-1) for x in logits]
    s_r, s_d = attend if affinity == "softmax" else [symmetric_affinity(x) for x in logits]
    average = 0.5 * (s_r + s_d)
    start = torch.eye(len(q_r[0, 0]), dtype=q_r.dtype, device=q_r.device).expand_as(average)
    options = {"epsilon": 0.6, "num_iterations": num_iterations}
    s_rd = diffuse(s_r, s_d, average, start, **options)
    s_dr = diffuse(s_d, s_r, average, start, **options)
    return [attend[0] @ v_r, attend[1] @ v_d, s_rd @ v_d, s_dr @ v_r]


@runs_kernels
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("num_iterations", [1, 2])
def test_bfloat16_errs_at_most_twice_as_much_as_plain_pytorch(
    num_iterations: int, affinity: str
) -> None:
    num_tokens, width = (500, 64) if HAS_GPU else (34, 16)
    tensors = [make(1, 2, num_tokens, width, dtype=torch.bfloat16) for _ in range(6)]
    cotangents = [make(1, 2, num_tokens, width, dtype=torch.bfloat16) for _ in range(4)]
    options = {"num_iterations": num_iterations, "affinity": affinity}
    ours = run_operation(tensors, cotangents, backend="triton", **options)
    doubles = [tensor.double() for tensor in tensors]
    exact = run_operation(doubles, cotangents, backend="dense", **options)
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    outputs = plain(leaves, num_iterations, affinity)
    theirs = outputs, torch.autograd.grad(outputs, leaves, cotangents)
    # The interpreter cuts bits off where a GPU rounds.
    factor = 2 if HAS_GPU else 4
    for our, their, value in zip(
        ours[0] + ours[1], [*theirs[0], *theirs[1]], exact[0] + exact[1], strict=True
    ):
        assert our.dtype == torch.bfloat16
        assert relative_error(our, value) < factor * relative_error(their, value)


@runs_kernels
def test_float16_states_may_leave_its_range() -> None:
    """All RGB and depth tokens look at one key, which collects N times the values."""
    num_tokens, width = 70, 8
    tensors = [make(1, 1, num_tokens, width, dtype=torch.float16) for _ in range(6)]
    cotangents = [make(1, 1, num_tokens, width) for _ in range(4)]
    for index in (0, 3):
        tensors[index] = tensors[index].abs()
        tensors[index + 1][:, :, 3] = 12
        tensors[index + 2] = 1200 + 50 * tensors[index + 2]
    assert tensors[2].double().sum() > width * torch.finfo(torch.float16).max
    got = run_operation(tensors, cotangents, num_iterations=2, backend="triton")
    doubles = [tensor.double() for tensor in tensors]
    expected = run_operation(doubles, cotangents, num_iterations=2, backend="dense")
    for result, value in zip(got[0], expected[0], strict=True):
        assert relative_error(result, value) < 5e-3
    for result, value in zip(got[1], expected[1], strict=True):
        assert result.dtype == torch.float16
        if value.abs().max() < torch.finfo(torch.float16).max:
            assert result.isfinite().all()


@runs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("all_negative", [False, True])
def test_large_logits_stay_finite(dtype: torch.dtype, all_negative: bool) -> None:
    """Also those of rows whose log-sum-exp is far below zero, the logit of a masked key."""
    tensors = [100 * make(1, 1, 40, 16, dtype=dtype) for _ in range(6)]
    if all_negative:
        tensors = [sign * x.abs() for sign, x in zip((1, -1, 1, 1, -1, 1), tensors, strict=True)]
    logits = scaled_logits(tensors[0].float(), tensors[1].float())
    assert logits.abs().max() > 1e4
    cotangents = [make(1, 1, 40, 16) for _ in range(4)]
    outputs, gradients = run_operation(tensors, cotangents, num_iterations=2, backend="triton")
    assert all(tensor.isfinite().all() for tensor in outputs + gradients)
    doubles = [tensor.double() for tensor in tensors]
    expected, _ = run_operation(doubles, cotangents, num_iterations=2, backend="dense")
    for output, value in zip(outputs, expected, strict=True):
        assert relative_error(output, value) < 2e-2


@runs_kernels
def test_memory_order_empty_batches_and_repetition() -> None:
    tensors = [make(1, 2, 33, 8) for _ in range(6)]
    cotangents = [make(1, 2, 33, 8) for _ in range(4)]
    options: dict[str, Any] = {"num_iterations": 1, "backend": "triton"}
    expected = run_operation(tensors, cotangents, **options)
    strided = [tensor.transpose(1, 2).contiguous().transpose(1, 2) for tensor in tensors]
    got = run_operation(strided, cotangents, **options)
    for result, value in zip(got[0] + got[1], expected[0] + expected[1], strict=True):
        assert torch.equal(result, value)
    empty = [tensor[:0] for tensor in tensors]
    outputs, gradients = run_operation(empty, [c[:0] for c in cotangents], **options)
    assert all(tensor.shape == (0, 2, 33, 8) for tensor in outputs + gradients)


@runs_kernels
def test_one_graph_under_compile() -> None:
    def loss(*tensors: Tensor) -> Tensor:
        output = cross_diffusion(*tensors, epsilon=0.6, num_iterations=1, backend="triton")
        return sum(value.square().sum() for value in output)

    tensors = [make(1, 1, 6, 8).requires_grad_() for _ in range(6)]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    got = torch.autograd.grad(compiled(*tensors), tensors)
    for result, value in zip(got, torch.autograd.grad(loss(*tensors), tensors), strict=True):
        torch.testing.assert_close(result, value)


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_autotuned_block_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    triton_launch._tuned.cache_clear()
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        check_everything(300, 64, 128, dtype, bound)


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_GPU or torch.cuda.get_device_properties(0).total_memory < 60e9, reason="needs 60 GB"
)
def test_more_than_2_to_the_31_elements() -> None:
    num_heads = 2**31 // (64 * 64) + 1000
    query = torch.randn(num_heads, 64, 64, device=DEVICE, dtype=torch.bfloat16)
    affinity = TritonAffinity(query, query)
    right, left = affinity.products(query, query)
    assert right is not None and left is not None
    matrix, last = explicit(query[-2:], query[-2:]), query[-2:].double()
    assert relative_error(right[-2:], matrix @ last) < 1e-2
    assert relative_error(left[-2:], matrix.mT @ last) < 1e-2


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(1, 4, 8, dtype=torch.float64), "torch.float64, expected float32"),
        (torch.zeros(1, 4, 129), "D = 129, expected at most 128"),
        (torch.zeros(1, 4, 8), "device cpu, expected a CUDA device"),
    ],
)
def test_what_it_cannot_serve_is_refused(
    monkeypatch: pytest.MonkeyPatch, tensor: Tensor, words: str
) -> None:
    monkeypatch.setattr(backends, "TRITON_IS_INSTALLED", True)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="cannot serve") as error:
        cross_diffusion(*[tensor] * 6, epsilon=0.6, num_iterations=1, backend="triton")
    assert words in str(error.value)
    assert "or use backend='matrix_free'" in str(error.value)
    monkeypatch.setattr(backends, "TRITON_IS_INSTALLED", False)
    with pytest.raises(ValueError, match="triton cannot be imported"):
        cross_diffusion(*[tensor] * 6, epsilon=0.6, num_iterations=1, backend="triton")


def test_auto_does_not_take_kernels_that_have_not_run_on_a_gpu() -> None:
    assert choose_backend("cpu", torch.bfloat16, 64).backend == "matrix_free"


def test_nothing_needs_triton_to_be_imported() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, mutualformer\n"
        "tensors = [torch.randn(1, 4, 8)] * 6\n"
        "mutualformer.cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)\n"
        "assert not any('affinity.triton' in name for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[4])
