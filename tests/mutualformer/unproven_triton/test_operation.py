"""Cross-diffusion by the Triton kernels against the dense form in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor
from triton_kernels import HAS_GPU, make, relative_error, run_operation, runs_kernels

from mutualformer import cross_diffusion
from mutualformer.ops.cross_diffusion.dense import scaled_logits, symmetric_affinity
from mutualformer.ops.diffusion import diffuse

LONG_CASES = [("identity", "softmax"), ("cross", "symmetric")]


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
