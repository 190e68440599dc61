"""What torch's own tools make of the operator: FLOPs, vmap, ONNX."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mutualformer import MutualFormerBlock, cross_diffusion

N, D, HEADS = 30, 8, 4
UNIT = 2 * N * N * D * HEADS


def tensors(*leading: int, **options: Any) -> list[torch.Tensor]:
    return [torch.randn(*leading, HEADS, N, D, **options) for _ in range(6)]


def count(*shape: int, **options: Any) -> tuple[float, float]:
    """Return the products of a forward and a backward pass, in units of 2 N² D per head."""
    inputs = tensors(*shape, requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        outputs = cross_diffusion(*inputs, **options)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs])
    return forward.get_total_flops() / UNIT, backward.get_total_flops() / UNIT


# By hand: logits and S V of two modalities, and backward logits, dS, dV, dQ and dK; with one step,
# the table of ops/cross_diffusion/README.md.
@pytest.mark.parametrize(("num_iterations", "expected"), [(0, (4, 10)), (1, (9, 19))])
def test_flops_are_the_products_counted_by_hand(
    num_iterations: int, expected: tuple[int, int]
) -> None:
    assert count(num_iterations=num_iterations) == expected
    assert count(3, num_iterations=num_iterations) == tuple(3 * x for x in expected)


@pytest.mark.parametrize("options", [{"initial_affinity": "cross"}, {"affinity": "symmetric"}])
def test_every_form_is_counted(options: dict[str, str]) -> None:
    counts = [count(num_iterations=t, **options) for t in (1, 8, 30, math.inf)]
    assert all(a < b for a, b in zip(counts, counts[1:], strict=False))
    # Linear in the number of steps: no N × N × N product, which would be N / D times as much.
    assert counts[1][0] < 8 * counts[0][0]


def test_flops_of_a_network_hold_the_method() -> None:
    block = MutualFormerBlock(HEADS * D, HEADS)
    tokens = torch.randn(1, N, HEADS * D)
    with FlopCounterMode(display=False) as counter:
        block(tokens, tokens)
    assert counter.get_flop_counts()["Global"][torch.ops.mutualformer.cross_diffusion] == 9 * UNIT


@pytest.mark.parametrize("dim", [0, 1, 3])
@pytest.mark.parametrize("num_iterations", [0, 1, 9])
def test_vmap_equals_a_loop(dim: int, num_iterations: int) -> None:
    inputs = [x.movedim(0, dim) for x in tensors(3, 2, dtype=torch.float64)]
    inputs = [x.detach().requires_grad_() for x in inputs]
    shared = inputs[3].select(dim, 0)

    def diffuse(*arguments: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = cross_diffusion(
            *arguments[:3], shared, *arguments[3:], num_iterations=num_iterations
        )
        return tuple(outputs)

    others = inputs[:3] + inputs[4:]
    mapped = torch.func.vmap(diffuse, in_dims=dim)(*others)
    samples = zip(*(x.unbind(dim) for x in others), strict=True)
    looped = [torch.stack(x) for x in zip(*(diffuse(*sample) for sample in samples), strict=True)]
    torch.testing.assert_close(list(mapped), looped)
    gradients = [
        torch.autograd.grad(sum(x.sin().sum() for x in outputs), inputs)
        for outputs in (mapped, looped)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dynamo", [True, False], ids=["torch.export", "TorchScript"])
def test_a_block_in_ones_own_network_exports_to_onnx(tmp_path: Path, dynamo: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    block = MutualFormerBlock(32, 4, num_iterations=2, initial_affinity="cross").eval()
    inputs = (torch.randn(2, 9, 32), torch.randn(2, 9, 32))
    path = tmp_path / "block.onnx"
    torch.onnx.export(block, inputs, path, dynamo=dynamo, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    (got,) = session.run(None, dict(zip(names, [x.numpy() for x in inputs], strict=True)))
    torch.testing.assert_close(torch.from_numpy(got), block(*inputs).detach(), rtol=1e-4, atol=1e-5)
