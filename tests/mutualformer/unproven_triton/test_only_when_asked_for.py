"""Who gets the kernels, and who does not; and all tests of them where there is no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from triton_kernels import CAN_RUN

from mutualformer import cross_diffusion
from mutualformer.ops import choose_backend
from mutualformer.ops.cross_diffusion import backends

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[2]


@pytest.mark.slow
@pytest.mark.skipif(CAN_RUN, reason="the tests beside this run here")
@pytest.mark.skipif(not backends.TRITON_IS_INSTALLED, reason="triton is not installed")
def test_all_of_this_in_the_interpreter() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER)],
        cwd=REPOSITORY,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout[-10_000:] + finished.stderr[-2_000:]
    assert " passed" in finished.stdout


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


@pytest.mark.parametrize("device", ["cuda", "cpu", "mps"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [8, 64, 256])
@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
def test_auto_never_takes_them(
    device: str,
    dtype: torch.dtype,
    dim: int,
    capability: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_backend(device, dtype, dim).backend in ("flex", "matrix_free")


def test_nothing_needs_triton_to_be_imported() -> None:
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch, mutualformer\n"
        "tensors = [torch.randn(1, 4, 8)] * 6\n"
        "mutualformer.cross_diffusion(*tensors, epsilon=0.6, num_iterations=1)\n"
        "with torch.no_grad():\n"
        "    mutualformer.cross_diffusion(*tensors, backend='flex')\n"
        "mutualformer.MutualFormerBlock(8, 2)(*torch.randn(2, 1, 4, 8)).sum().backward()\n"
        "assert not any('unproven' in name for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)
