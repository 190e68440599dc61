"""The backends on a GPU, FlexAttention's fused kernels above all; skips without one.

python -m pytest -m gpu -q
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from mutualformer import MutualFormerBlock, cross_diffusion
from mutualformer.ops import affinity_rows, choose_backend

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
each_backend = pytest.mark.parametrize("backend", ["flex", "matrix_free"])


def make(shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    tensors = [torch.randn(shape, generator=generator) for _ in range(6)]
    return [x.to("cuda", dtype).requires_grad_() for x in tensors]


def run(tensors: list[Tensor], backend: str, **options: Any) -> list[Tensor]:
    outputs = cross_diffusion(*tensors, backend=backend, **options)
    generator = torch.Generator().manual_seed(7)
    cotangents = [torch.randn(x.shape, generator=generator).to("cuda", x.dtype) for x in outputs]
    gradients = torch.autograd.grad(outputs, tensors, cotangents, allow_unused=True)
    return [*outputs, *(x for x in gradients if x is not None)]


def largest_error(got: list[Tensor], exact: list[Tensor]) -> float:
    pairs = zip(got, exact, strict=True)
    return max(((x.double() - y).norm() / y.norm().clamp_min(1e-6)).item() for x, y in pairs)


@each_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 16), (2, 3, 63, 8), (2, 2, 121, 12), (1, 2, 484, 64), (1, 2, 300, 128)]
)
def test_outputs_and_gradients(shape: tuple[int, ...], dtype: torch.dtype, backend: str) -> None:
    tensors = make(shape, dtype)
    exact = run([x.detach().double().requires_grad_() for x in tensors], "dense")
    bound = 1e-5 if dtype == torch.float32 else 8 * torch.finfo(dtype).eps
    if shape[-2] == 1:  # where gradients of queries and keys are zero
        assert largest_error(run(tensors, backend)[:4], exact[:4]) < bound
    else:
        assert largest_error(run(tensors, backend), exact) < bound


@each_backend
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
@pytest.mark.parametrize("initial_affinity", ["identity", "average", "cross"])
@pytest.mark.parametrize("num_iterations", [0, 1, 3, 8, 12])
def test_every_option(
    num_iterations: int, initial_affinity: str, affinity: str, backend: str
) -> None:
    options = {
        "num_iterations": num_iterations,
        "initial_affinity": initial_affinity,
        "affinity": affinity,
    }
    tensors = make((2, 2, 63, 32), torch.float32)
    exact = run([x.detach().double().requires_grad_() for x in tensors], "dense", **options)
    assert largest_error(run(tensors, backend, **options), exact) < 1e-5


def test_auto_takes_it_and_repeats_itself_bit_for_bit() -> None:
    """No column is summed by atomic additions."""
    assert choose_backend("cuda", torch.bfloat16, 64).backend == "flex"
    tensors = make((2, 4, 484, 64), torch.bfloat16)
    first, again = run(tensors, "auto"), run(tensors, "flex")
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


def test_images_of_many_sizes_share_what_was_compiled() -> None:
    run(make((2, 3, 200, 48), torch.float32), "flex")
    run(make((2, 3, 60, 48), torch.float32), "flex")  # fewer than a block of 128 rows
    before = counters["stats"]["unique_graphs"]
    for images in (1, 2, 5):
        for num_tokens in (64, 100, 128, 256, 333, 1000):
            run(make((images, 3, num_tokens, 48), torch.float32), "flex")
    assert counters["stats"]["unique_graphs"] - before <= 3


@each_backend
def test_memory_holds_no_affinity(backend: str) -> None:
    tensors = make((1, 8, 7744, 64), torch.bfloat16)
    run(tensors, backend)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run(tensors, backend)
    affinity = 8 * 7744**2 * 4  # one of many that the dense form has
    assert torch.cuda.max_memory_allocated() - before < affinity


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_block(dtype: torch.dtype, backend: str) -> None:
    blocks = [MutualFormerBlock(128, 4, backend=x).cuda() for x in (backend, "dense")]
    blocks[0].load_state_dict(blocks[1].state_dict())
    tokens = [torch.randn(2, 225, 128, device="cuda") for _ in range(2)]
    functions: list[Callable[..., Tensor]] = [torch.compile(blocks[0], fullgraph=True), blocks[1]]
    results = []
    for function, block in zip(functions, blocks, strict=True):
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            output = function(*tokens)
        gradients = torch.autograd.grad(output.float().sin().sum(), list(block.parameters()))
        results.append([output, *gradients])
    for got, expected in zip(*results, strict=True):
        difference = (got.float() - expected.float()).norm() / expected.float().norm()
        assert difference < (1e-4 if dtype == torch.float32 else 5e-2)


def test_flops_are_counted_and_graphs_can_be_kept() -> None:
    tensors = make((1, 2, 200, 32), torch.float32)
    with FlopCounterMode(display=False) as counter:
        run(tensors, "flex")
    assert counter.get_total_flops() == (11 + 27) * 2 * 2 * 200 * 200 * 32
    given = [tensors[i] for i in (0, 1, 3, 4)]
    rows, expected = (affinity_rows(*given, [0, 199], backend=x) for x in ("flex", "dense"))
    for got, value in zip(rows, expected, strict=True):
        torch.testing.assert_close(got, value, rtol=1e-4, atol=1e-5)
