"""Start a kernel with block sizes that suit its tensors."""

import functools
from typing import Any

import torch
import triton
from torch import Tensor


def _config(block: int, loop_block: int, num_warps: int, num_stages: int) -> triton.Config:
    return triton.Config(
        {"BLOCK": block, "LOOP_BLOCK": loop_block}, num_warps=num_warps, num_stages=num_stages
    )


BFLOAT16_CONFIGS = [
    _config(64, 64, 4, 2),
    _config(128, 64, 8, 2),
    _config(128, 64, 8, 3),
    _config(128, 64, 4, 3),
    _config(64, 32, 4, 2),
    _config(32, 32, 4, 1),
]
FLOAT32_CONFIGS = [
    _config(64, 32, 4, 1),
    _config(64, 32, 4, 2),
    _config(64, 64, 4, 2),
    _config(32, 32, 4, 1),
]
SMALL_CONFIG = _config(32, 32, 4, 1)
"""Fits every supported width, and every GPU with 99 KB of shared memory."""


@functools.cache
def _tuned(kernel: Any, is_bfloat16: bool) -> Any:
    """Let a kernel find its fastest block sizes the first time a width and size class is met."""
    constants = ("WIDTH", "NUM_COLUMNS", "RANK", "IS_FIRST_PASS", "HAS_LEFT", "PRECISION")
    key = ["size_class", *(name for name in constants if name in kernel.arg_names)]
    return triton.autotune(BFLOAT16_CONFIGS if is_bfloat16 else FLOAT32_CONFIGS, key=key)(kernel)


def launch(
    kernel: Any, tensors: tuple[Tensor | None, ...], scale: float, num_chunks: int, **constants: Any
) -> None:
    """Run a kernel for every head, chunk of columns and block of tokens.

    Args:
        kernel: one of the kernels above.
        tensors: the tensors it takes, in its order; the first is Q, `(G, N, D)`.
        scale: log2(e) / √D.
        num_chunks: into how many programs the columns of the output are divided.
        constants: its compile-time constants, apart from the block sizes.
    """
    query = tensors[0]
    assert query is not None
    num_heads, num_tokens = query.shape[:2]
    if num_heads == 0:
        return

    def grid(blocks: dict[str, Any]) -> tuple[int]:
        return (triton.cdiv(num_tokens, blocks["BLOCK"]) * num_chunks * num_heads,)

    is_compiled = isinstance(kernel, triton.runtime.JITFunction)
    if is_compiled and not torch.are_deterministic_algorithms_enabled():
        kernel = _tuned(kernel, query.dtype == torch.bfloat16)
    else:
        # The interpreter has nothing to time, and timings need not come out the same twice.
        constants |= SMALL_CONFIG.all_kwargs()
    with torch.cuda.device_of(query):
        kernel[grid](*tensors, num_tokens, num_tokens.bit_length(), scale, **constants)
