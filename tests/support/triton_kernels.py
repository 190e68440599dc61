"""What the tests of the unproven Triton kernels share: where they run, and explicit matrices.

With a CUDA device the tests run on it. Without one they run in Triton's interpreter, in a process
of their own, because it must be asked for before Triton is imported.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from mutualformer import cross_diffusion
from mutualformer.ops.cross_diffusion import backends
from mutualformer.ops.cross_diffusion.dense import scaled_logits
from mutualformer.unproven_triton.triton_affinity import is_interpreted

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda" if HAS_GPU else "cpu"
CAN_RUN = backends.TRITON_IS_INSTALLED and (HAS_GPU or is_interpreted())
runs_kernels = pytest.mark.skipif(not CAN_RUN, reason="runs in the interpreter's own process")


def use_blocks(monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]) -> None:
    """Let all kernels use these block sizes."""
    from mutualformer.unproven_triton import launch as triton_launch

    config = triton_launch._config(*blocks)
    monkeypatch.setattr(triton_launch, "SMALL_CONFIG", config)
    monkeypatch.setattr(triton_launch, "FLOAT32_CONFIGS", [config])
    monkeypatch.setattr(triton_launch, "BFLOAT16_CONFIGS", [config])
    triton_launch._tuned.cache_clear()


def make(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(DEVICE, dtype)


def relative_error(got: Tensor, expected: Tensor) -> float:
    difference = (got.double() - expected.double()).norm()
    return (difference / expected.double().norm().clamp_min(1e-6)).item()


def explicit(query: Tensor, key: Tensor) -> Tensor:
    return scaled_logits(query.double(), key.double()).softmax(-1)


def run_operation(
    tensors: list[Tensor], cotangents: list[Tensor], **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    outputs = cross_diffusion(*tensors, epsilon=0.6, **options)
    gradients = torch.autograd.grad(
        outputs, tensors, [c.to(outputs[0].dtype) for c in cotangents], materialize_grads=True
    )
    return list(outputs), list(gradients)
