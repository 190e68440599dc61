"""Which backend is taken, and what is said of it."""

import sys
from typing import get_args

import pytest
import torch

from mutualformer import cross_diffusion
from mutualformer.ops import choose_backend
from mutualformer.ops.cross_diffusion import backends
from mutualformer.ops.cross_diffusion.options import Backend

BF16 = torch.bfloat16


@pytest.fixture(autouse=True)
def _a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "TRITON_IS_INSTALLED", True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))


def test_auto_takes_flex_on_a_gpu_and_row_blocks_on_a_cpu() -> None:
    assert choose_backend("cuda", BF16, 64) == (
        "flex",
        "torch compiles it to fused kernels for such a device, dtype and width",
    )
    assert choose_backend("cpu", torch.float32, 64).backend == "matrix_free"
    assert "device cpu" in choose_backend("cpu", torch.float32, 64, with_gradient=False).reason


@pytest.mark.parametrize(
    ("dtype", "dim", "words"),
    [(torch.float64, 64, "dtype is torch.float64"), (BF16, 129, "D = 129, expected at most 128")],
)
def test_auto_says_why_it_does_not_take_flex(dtype: torch.dtype, dim: int, words: str) -> None:
    choice = choose_backend("cuda", dtype, dim)
    assert choice.backend == "matrix_free"
    assert words in choice.reason
    with pytest.raises(ValueError, match=words) as error:
        choose_backend("cuda", dtype, dim, backend="flex")
    assert "or use backend='matrix_free'" in str(error.value)


def test_a_gpu_that_is_too_old_or_lacks_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert "older than compute capability 8.0" in choose_backend("cuda", BF16, 64).reason
    monkeypatch.setattr(backends, "TRITON_IS_INSTALLED", False)
    assert "triton cannot be imported" in choose_backend("cuda", BF16, 64).reason


def test_a_torch_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "TORCH", (2, 9))
    for device in ("cuda", "cpu", "meta"):
        with pytest.raises(ValueError, match=r"torch is .*, expected 2.11 or later") as error:
            choose_backend(device, BF16, 64, with_gradient=False, backend="flex")
        assert "or use backend='matrix_free'" in str(error.value)
    choice = choose_backend("cuda", BF16, 64)
    assert choice.backend == "matrix_free" and "expected 2.11 or later" in choice.reason


@pytest.mark.parametrize("backend", get_args(Backend))
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_dtype_without_products_is_refused_by_all(dtype: torch.dtype, backend: str) -> None:
    tensors = [torch.zeros(1, 2, 5, 16).to(dtype)] * 6
    with pytest.raises(ValueError, match=f"dtype is {dtype}, expected one of float64, float32"):
        cross_diffusion(*tensors, backend=backend)


@pytest.mark.parametrize("device", ["mps", "xpu"])
def test_other_devices_have_row_blocks(device: str) -> None:
    assert choose_backend(device, torch.float32, 64).backend == "matrix_free"
    with pytest.raises(ValueError, match=f"device {device}, expected a CUDA device"):
        choose_backend(device, torch.float32, 64, backend="flex")


@pytest.mark.parametrize("backend", ["dense", "matrix_free"])
def test_what_is_named_is_taken(backend: str) -> None:
    choice = choose_backend("cuda", BF16, 64, backend=backend)
    assert choice == (backend, "it was asked for by name")


def test_a_compiled_graph_asks_without_a_break() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        choice = choose_backend(torch.device("cuda", 0), x.dtype, x.shape[-1])
        return x + 1 if choice.backend == "flex" else x - 1

    compiled = torch.compile(function, backend="eager", fullgraph=True)
    assert compiled(torch.zeros(3, 64)).sum() == 3 * 64


def test_the_operation_asks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def choose(*facts: object, **further: object) -> backends.BackendChoice:
        asked.append((*facts, further))
        return backends.BackendChoice("dense", "")

    module = sys.modules["mutualformer.ops.cross_diffusion.cross_diffusion"]
    monkeypatch.setattr(module, "choose_backend", choose)
    tensors = [torch.randn(1, 2, 5, 4) for _ in range(6)]
    tensors[4].requires_grad_()
    cross_diffusion(*tensors)
    device = torch.device("cpu")
    further = {"with_gradient": True, "backend": "auto"}
    assert asked == [(device, torch.float32, 4, further)]
