"""Kernels that multiply with a softmax affinity, or differentiate it, one tile at a time.

Importing this module imports Triton; :mod:`mutualformer.ops.triton_affinity` does so when a kernel
is first needed.

Every tensor is contiguous: matrices `(G, N, E)`, vectors `(G, N)`. A program owns BLOCK tokens of
one head and loops over all others in steps of LOOP_BLOCK, so nothing is added atomically and sums
have a fixed order. Exponents are to base 2, which the hardware has: ``scale`` is log2(e) / √D.
Tokens beyond N are read as zeros; those among the rows of S get a log-sum-exp of +inf, which makes
their p zero, those among its columns are masked.
"""

import functools
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mutualformer.ops.triton_affinity import is_interpreted

LOG2_E = tl.constexpr(1.4426950408889634)
LOG_2 = tl.constexpr(0.6931471805599453)
IS_INTERPRETED = tl.constexpr(is_interpreted())


@triton.jit
def multiply(a, b, accumulator, PRECISION: tl.constexpr):
    """Add the product of two tiles to a float32 tile."""
    if IS_INTERPRETED:  # whose products know no bfloat16; a float32 holds it exactly
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, accumulator, input_precision=PRECISION)


@triton.jit
def logits_tile(a, b, scale, PRECISION: tl.constexpr):
    """Compare rows with rows: Q Kᵀ log2(e) / √D, or its transpose."""
    tile = tl.zeros((a.shape[0], b.shape[0]), tl.float32)
    return multiply(a, tl.trans(b), tile, PRECISION) * scale


@triton.jit
def load_tile(
    matrix,
    first_row,
    num_rows,
    first_column,
    NUM_COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Load ROWS × COLUMNS of one head's matrix, with zeros outside of it."""
    row = tl.arange(0, ROWS)
    column = first_column + tl.arange(0, COLUMNS)
    inside = (first_row + row < num_rows)[:, None]
    if NUM_COLUMNS % COLUMNS != 0:
        inside = inside & (column < NUM_COLUMNS)[None, :]
    # Only the scalar part of an offset can exceed 32 bits.
    start = matrix + tl.cast(first_row, tl.int64) * NUM_COLUMNS
    return tl.load(start + row[:, None] * NUM_COLUMNS + column[None, :], mask=inside, other=0.0)


@triton.jit
def store_tile(
    matrix,
    tile,
    first_row,
    num_rows,
    first_column,
    NUM_COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Store what :func:`load_tile` would load."""
    row = tl.arange(0, ROWS)
    column = first_column + tl.arange(0, COLUMNS)
    inside = (first_row + row < num_rows)[:, None]
    if NUM_COLUMNS % COLUMNS != 0:
        inside = inside & (column < NUM_COLUMNS)[None, :]
    start = matrix + tl.cast(first_row, tl.int64) * NUM_COLUMNS
    tl.store(start + row[:, None] * NUM_COLUMNS + column[None, :], tile, mask=inside)


@triton.jit
def load_log_sum_exp(log_sum_exp, first_row, num_rows, ROWS: tl.constexpr):
    """Load log-sum-exps of rows of S, to base 2; +inf beyond the last row."""
    row = first_row + tl.arange(0, ROWS)
    return tl.load(log_sum_exp + row, mask=row < num_rows, other=float("inf")) * LOG2_E


@triton.jit
def load_delta(delta, first_row, num_rows, ROWS: tl.constexpr):
    """Load δ of rows of S; 0 beyond the last row."""
    row = first_row + tl.arange(0, ROWS)
    return tl.load(delta + row, mask=row < num_rows, other=0.0)


@triton.jit
def low_rank_tile(
    rows_of,
    first_row,
    columns_of,
    first_column,
    num_tokens,
    RANK: tl.constexpr,
    RANK_CHUNK: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Multiply rows of one `(N, RANK)` matrix with rows of another: a tile of dS or dSᵀ."""
    tile = tl.zeros((ROWS, COLUMNS), tl.float32)
    # Unrolled where it is short (T = 1), so that the loop around it can be pipelined.
    if RANK <= 4 * RANK_CHUNK:
        for chunk in tl.static_range(0, RANK, RANK_CHUNK):
            a = load_tile(rows_of, first_row, num_tokens, chunk, RANK, ROWS, RANK_CHUNK)
            b = load_tile(columns_of, first_column, num_tokens, chunk, RANK, COLUMNS, RANK_CHUNK)
            tile = multiply(a, tl.trans(b), tile, PRECISION)
    else:
        for chunk in range(0, RANK, RANK_CHUNK):
            a = load_tile(rows_of, first_row, num_tokens, chunk, RANK, ROWS, RANK_CHUNK)
            b = load_tile(columns_of, first_column, num_tokens, chunk, RANK, COLUMNS, RANK_CHUNK)
            tile = multiply(a, tl.trans(b), tile, PRECISION)
    return tile


@triton.jit(do_not_specialize=["num_tokens", "size_class"])
def read_kernel(
    query,
    key,
    log_sum_exp,
    right,
    out,
    num_tokens,
    size_class,
    scale,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    COLUMN_CHUNK: tl.constexpr,
    IS_FIRST_PASS: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    LOOP_BLOCK: tl.constexpr,
):
    """Compute S X for a block of rows; the first pass also finds their log-sum-exp."""
    num_blocks = tl.cdiv(num_tokens, BLOCK)
    num_chunks = tl.cdiv(NUM_COLUMNS, COLUMN_CHUNK)
    program = tl.program_id(0)
    first_row = program % num_blocks * BLOCK
    first_column = program // num_blocks % num_chunks * COLUMN_CHUNK
    head = tl.cast(program // num_blocks // num_chunks, tl.int64) * num_tokens
    query += head * WIDTH
    key += head * WIDTH
    log_sum_exp += head
    right += head * NUM_COLUMNS
    out += head * NUM_COLUMNS

    q = load_tile(query, first_row, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)
    if IS_FIRST_PASS:
        top = tl.full((BLOCK,), float("-inf"), tl.float32)  # running maximum of the logits
        total = tl.zeros((BLOCK,), tl.float32)
    else:
        top = load_log_sum_exp(log_sum_exp, first_row, num_tokens, BLOCK)
        total = tl.full((BLOCK,), 1.0, tl.float32)
    accumulator = tl.zeros((BLOCK, COLUMN_CHUNK), tl.float32)
    for first in range(0, num_tokens, LOOP_BLOCK):
        k = load_tile(key, first, num_tokens, 0, WIDTH, LOOP_BLOCK, PADDED_WIDTH)
        x = load_tile(right, first, num_tokens, first_column, NUM_COLUMNS, LOOP_BLOCK, COLUMN_CHUNK)
        s = logits_tile(q, k, scale, PRECISION)
        s = tl.where((first + tl.arange(0, LOOP_BLOCK) < num_tokens)[None, :], s, float("-inf"))
        if IS_FIRST_PASS:
            new_top = tl.maximum(top, tl.max(s, 1))
            p = tl.exp2(s - new_top[:, None])
            shrink = tl.exp2(top - new_top)
            total = total * shrink + tl.sum(p, 1)
            accumulator = accumulator * shrink[:, None]
            top = new_top
        else:
            p = tl.exp2(s - top[:, None])
        accumulator = multiply(p.to(x.dtype), x, accumulator, PRECISION)
    if IS_FIRST_PASS:
        accumulator = accumulator / total[:, None]
        if first_column == 0:
            row = first_row + tl.arange(0, BLOCK)
            tl.store(log_sum_exp + row, top * LOG_2 + tl.log(total), mask=row < num_tokens)
    store_tile(
        out, accumulator, first_row, num_tokens, first_column, NUM_COLUMNS, BLOCK, COLUMN_CHUNK
    )


@triton.jit(do_not_specialize=["num_tokens", "size_class"])
def move_kernel(
    query,
    key,
    log_sum_exp,
    left,
    out,
    num_tokens,
    size_class,
    scale,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    COLUMN_CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    LOOP_BLOCK: tl.constexpr,
):
    """Compute Sᵀ Y for a block of columns of S."""
    num_blocks = tl.cdiv(num_tokens, BLOCK)
    num_chunks = tl.cdiv(NUM_COLUMNS, COLUMN_CHUNK)
    program = tl.program_id(0)
    first_key = program % num_blocks * BLOCK
    first_column = program // num_blocks % num_chunks * COLUMN_CHUNK
    head = tl.cast(program // num_blocks // num_chunks, tl.int64) * num_tokens
    query += head * WIDTH
    key += head * WIDTH
    log_sum_exp += head
    left += head * NUM_COLUMNS
    out += head * NUM_COLUMNS

    k = load_tile(key, first_key, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)
    accumulator = tl.zeros((BLOCK, COLUMN_CHUNK), tl.float32)
    for first in range(0, num_tokens, LOOP_BLOCK):
        q = load_tile(query, first, num_tokens, 0, WIDTH, LOOP_BLOCK, PADDED_WIDTH)
        y = load_tile(left, first, num_tokens, first_column, NUM_COLUMNS, LOOP_BLOCK, COLUMN_CHUNK)
        lse = load_log_sum_exp(log_sum_exp, first, num_tokens, LOOP_BLOCK)
        s = logits_tile(k, q, scale, PRECISION)
        p = tl.exp2(s - lse[None, :])
        accumulator = multiply(p.to(y.dtype), y, accumulator, PRECISION)
    store_tile(
        out, accumulator, first_key, num_tokens, first_column, NUM_COLUMNS, BLOCK, COLUMN_CHUNK
    )


@triton.jit(do_not_specialize=["num_tokens", "size_class"])
def query_gradient_kernel(
    query,
    key,
    log_sum_exp,
    outer_left,
    outer_right,
    delta,
    grad_query,
    num_tokens,
    size_class,
    scale,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    RANK: tl.constexpr,
    RANK_CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    LOOP_BLOCK: tl.constexpr,
):
    """Compute the gradient of Q / √D for a block of rows: dQ = (S ∘ (A Bᵀ − δ 1ᵀ)) K."""
    num_blocks = tl.cdiv(num_tokens, BLOCK)
    program = tl.program_id(0)
    first_row = program % num_blocks * BLOCK
    head = tl.cast(program // num_blocks, tl.int64) * num_tokens
    query += head * WIDTH
    key += head * WIDTH
    log_sum_exp += head
    outer_left += head * RANK
    outer_right += head * RANK
    delta += head
    grad_query += head * WIDTH

    q = load_tile(query, first_row, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)
    lse = load_log_sum_exp(log_sum_exp, first_row, num_tokens, BLOCK)
    d = load_delta(delta, first_row, num_tokens, BLOCK)
    accumulator = tl.zeros((BLOCK, PADDED_WIDTH), tl.float32)
    for first in range(0, num_tokens, LOOP_BLOCK):
        k = load_tile(key, first, num_tokens, 0, WIDTH, LOOP_BLOCK, PADDED_WIDTH)
        s = logits_tile(q, k, scale, PRECISION)
        p = tl.exp2(s - lse[:, None])
        p = tl.where((first + tl.arange(0, LOOP_BLOCK) < num_tokens)[None, :], p, 0.0)
        grad = low_rank_tile(
            outer_left,
            first_row,
            outer_right,
            first,
            num_tokens,
            RANK,
            RANK_CHUNK,
            BLOCK,
            LOOP_BLOCK,
            PRECISION,
        )
        state_type = outer_left.dtype.element_ty
        grad = (p * (grad - d[:, None])).to(state_type)
        accumulator = multiply(grad, k.to(state_type), accumulator, PRECISION)
    store_tile(grad_query, accumulator, first_row, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)


@triton.jit(do_not_specialize=["num_tokens", "size_class"])
def key_gradient_kernel(
    query,
    key,
    log_sum_exp,
    outer_left,
    outer_right,
    delta,
    grad_key,
    left,
    out_left,
    num_tokens,
    size_class,
    scale,
    WIDTH: tl.constexpr,
    PADDED_WIDTH: tl.constexpr,
    RANK: tl.constexpr,
    RANK_CHUNK: tl.constexpr,
    HAS_LEFT: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
    COLUMN_CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
    LOOP_BLOCK: tl.constexpr,
):
    """Compute dK = (S ∘ (A Bᵀ − δ 1ᵀ))ᵀ Q / √D, and Sᵀ Y if wanted, for a block of columns."""
    num_blocks = tl.cdiv(num_tokens, BLOCK)
    program = tl.program_id(0)
    first_key = program % num_blocks * BLOCK
    head = tl.cast(program // num_blocks, tl.int64) * num_tokens
    query += head * WIDTH
    key += head * WIDTH
    log_sum_exp += head
    outer_left += head * RANK
    outer_right += head * RANK
    delta += head
    grad_key += head * WIDTH

    k = load_tile(key, first_key, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)
    accumulator = tl.zeros((BLOCK, PADDED_WIDTH), tl.float32)
    if HAS_LEFT:
        left += head * NUM_COLUMNS
        out_left += head * NUM_COLUMNS
        moved = tl.zeros((BLOCK, COLUMN_CHUNK), tl.float32)
    for first in range(0, num_tokens, LOOP_BLOCK):
        q = load_tile(query, first, num_tokens, 0, WIDTH, LOOP_BLOCK, PADDED_WIDTH)
        lse = load_log_sum_exp(log_sum_exp, first, num_tokens, LOOP_BLOCK)
        d = load_delta(delta, first, num_tokens, LOOP_BLOCK)
        s = logits_tile(k, q, scale, PRECISION)
        p = tl.exp2(s - lse[None, :])
        state_type = outer_left.dtype.element_ty
        if HAS_LEFT:
            y = load_tile(left, first, num_tokens, 0, NUM_COLUMNS, LOOP_BLOCK, COLUMN_CHUNK)
            moved = multiply(p.to(state_type), y, moved, PRECISION)
        grad = low_rank_tile(
            outer_right,
            first_key,
            outer_left,
            first,
            num_tokens,
            RANK,
            RANK_CHUNK,
            BLOCK,
            LOOP_BLOCK,
            PRECISION,
        )
        grad = (p * (grad - d[None, :])).to(state_type)
        accumulator = multiply(grad, q.to(state_type), accumulator, PRECISION)
    accumulator = accumulator * (scale * LOG_2)  # dlogitsᵀ Q / √D
    store_tile(grad_key, accumulator, first_key, num_tokens, 0, WIDTH, BLOCK, PADDED_WIDTH)
    if HAS_LEFT:
        store_tile(out_left, moved, first_key, num_tokens, 0, NUM_COLUMNS, BLOCK, COLUMN_CHUNK)


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
