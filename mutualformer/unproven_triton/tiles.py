"""What the kernels are made of: loading, storing and multiplying tiles.

Exponents are to base 2, which the hardware has: ``scale`` is
log2(e) / √D. Tokens beyond N are read as zeros; those among the rows of S get a log-sum-exp of
+inf, which makes their p zero, those among its columns are masked by the kernels.
"""

import triton
import triton.language as tl

from mutualformer.unproven_triton.triton_affinity import is_interpreted

LOG2_E = tl.constexpr(1.4426950408889634)
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
