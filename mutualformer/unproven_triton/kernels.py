"""Kernels that multiply with a softmax affinity, or differentiate it, one tile at a time.

Every tensor is contiguous: matrices `(G, N, E)`, vectors `(G, N)`. A program owns BLOCK tokens of
one head and loops over all others in steps of LOOP_BLOCK, so nothing is added atomically and sums
have a fixed order.
"""

import triton
import triton.language as tl

from mutualformer.unproven_triton.tiles import (
    load_delta,
    load_log_sum_exp,
    load_tile,
    logits_tile,
    low_rank_tile,
    multiply,
    store_tile,
)

LOG_2 = tl.constexpr(0.6931471805599453)


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
