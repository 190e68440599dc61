"""The GPU kernels against explicit matrices in float64."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from triton_kernels import (
    CAN_RUN,
    DEVICE,
    HAS_GPU,
    explicit,
    make,
    relative_error,
    runs_kernels,
    use_blocks,
)

from mutualformer.ops.cross_diffusion.dense import scaled_logits
from mutualformer.unproven_triton.triton_affinity import TritonAffinity

SIZES = [(1, 8), (2, 16), (63, 8), (100, 40), (33, 64)]
BLOCKS = [(32, 16, 4, 1), (16, 32, 4, 1)]
BLOCKS_FLOAT32: list[tuple[int, int, int, int]] = []
BLOCKS_BFLOAT16: list[tuple[int, int, int, int]] = []
if HAS_GPU and CAN_RUN:
    from mutualformer.unproven_triton import launch as triton_launch

    def _blocks(configs: list) -> list[tuple[int, int, int, int]]:
        return [
            (*config.kwargs.values(), config.num_warps, config.num_stages) for config in configs
        ]

    BLOCKS_FLOAT32 = _blocks(triton_launch.FLOAT32_CONFIGS)
    BLOCKS_BFLOAT16 = _blocks(triton_launch.BFLOAT16_CONFIGS)


@contextmanager
def skip_if_too_large() -> Iterator[None]:
    """Skip block sizes that this GPU has not enough shared memory for, as tuning does."""
    from triton.runtime.errors import OutOfResources

    try:
        yield
    except OutOfResources as error:
        pytest.skip(str(error))


def explicit_gradients(
    query: Tensor, key: Tensor, outer_left: Tensor, outer_right: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of Q / √D and K by autograd, and nothing else of the code under test."""
    root = query.shape[-1] ** 0.5
    scaled = (query.double() / root).requires_grad_()
    double_key = key.double().requires_grad_()
    affinity = (scaled @ double_key.mT).softmax(-1)
    cotangent = outer_left.double() @ outer_right.double().mT
    return torch.autograd.grad(affinity, (scaled, double_key), cotangent)


def check_everything(num_tokens: int, width: int, rank: int, dtype: torch.dtype, bound: float):
    """Compare products, the log-sum-exp, gradients, and the products that share their pass."""
    query, key = (make(2, num_tokens, width, dtype=dtype) for _ in range(2))
    affinity, matrix = TritonAffinity(query, key), explicit(query, key)
    right, left = make(2, num_tokens, width), make(2, num_tokens, 2 * width)
    got_right, got_left = affinity.products(right, left)
    assert relative_error(got_right, matrix @ right.double()) < bound
    assert relative_error(got_left, matrix.mT @ left.double()) < bound
    expected = scaled_logits(query.double(), key.double()).logsumexp(-1)
    assert (affinity.log_sum_exp - expected).abs().max() < 1e-5 * (1 + expected.abs().max())
    again, _ = affinity.products(right)  # now with a known log-sum-exp
    assert relative_error(again, matrix @ right.double()) < bound

    outer_left, outer_right = (make(2, num_tokens, rank) for _ in range(2))
    product = outer_left.double() @ outer_right.double().mT
    weight = make(2, num_tokens, width)
    grad_query, grad_key, got_right, got_left = affinity.gradients(
        torch.cat((outer_left, weight), -1),
        torch.cat((outer_right, right), -1),
        (matrix * product).sum(-1).float(),
        right,
        weight,
        left,
    )
    assert relative_error(got_right, matrix @ right.double()) < bound
    assert relative_error(got_left, matrix.mT @ left.double()) < bound
    expected_query, expected_key = explicit_gradients(
        query, key, torch.cat((outer_left, weight), -1), torch.cat((outer_right, right), -1)
    )
    if num_tokens == 1:  # S = 1 whatever the logits are, so that nothing but rounding is left
        scale = product.abs().max() * max(query.abs().max(), key.abs().max()).double()
        assert max(grad_query.abs().max(), grad_key.abs().max()) < bound * scale
    else:
        assert relative_error(grad_query, expected_query) < 2 * bound
        assert relative_error(grad_key, expected_key) < 2 * bound


@runs_kernels
@pytest.mark.parametrize("num_factors", [1, 2, 6])
@pytest.mark.parametrize(("num_tokens", "width"), SIZES)
def test_products_and_gradients(num_tokens: int, width: int, num_factors: int) -> None:
    if num_factors == 6 and width > 16 and not HAS_GPU:
        pytest.skip("long ranks are tried at small widths in the interpreter")
    check_everything(num_tokens, width, num_factors * width, torch.float32, 1e-5)


@runs_kernels
@pytest.mark.parametrize("blocks", [*BLOCKS, *BLOCKS_FLOAT32])
def test_block_sizes_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]
) -> None:
    use_blocks(monkeypatch, blocks)
    with skip_if_too_large():
        check_everything(75, 64 if HAS_GPU else 16, 32, torch.float32, 1e-5)


@runs_kernels
@pytest.mark.parametrize("blocks", [*BLOCKS, *BLOCKS_BFLOAT16])
def test_block_sizes_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, blocks: tuple[int, int, int, int]
) -> None:
    use_blocks(monkeypatch, blocks)
    with skip_if_too_large():
        check_everything(75, 64 if HAS_GPU else 16, 32, torch.bfloat16, 1e-2)


@runs_kernels
@pytest.mark.parametrize("columns", [1, 16, 100, 130])
def test_products_of_any_width(columns: int) -> None:
    """Also wider than one program accumulates, also Sᵀ Y first, also strided."""
    query, key = make(1, 40, 8), make(1, 40, 8)
    matrix, states = explicit(query, key), make(1, 40, 2 * columns)[..., ::2]
    _, left = TritonAffinity(query, key).products(left=states)
    right, _ = TritonAffinity(query, key).products(states)
    assert relative_error(left, matrix.mT @ states.double()) < 1e-5
    assert relative_error(right, matrix @ states.double()) < 1e-5
    outer = make(1, 40, 8)
    delta = (matrix * (outer @ outer.mT).double()).sum(-1).float()
    *_, left = TritonAffinity(query, key).gradients(outer, outer, delta, left=states)
    assert relative_error(left, matrix.mT @ states.double()) < 1e-5


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_autotuned_block_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    triton_launch._tuned.cache_clear()
    for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        check_everything(300, 64, 128, dtype, bound)


@pytest.mark.slow
@pytest.mark.skipif(
    not HAS_GPU or torch.cuda.get_device_properties(0).total_memory < 60e9, reason="needs 60 GB"
)
def test_more_than_2_to_the_31_elements() -> None:
    num_heads = 2**31 // (64 * 64) + 1000
    query = torch.randn(num_heads, 64, 64, device=DEVICE, dtype=torch.bfloat16)
    affinity = TritonAffinity(query, query)
    right, left = affinity.products(query, query)
    assert right is not None and left is not None
    matrix, last = explicit(query[-2:], query[-2:]), query[-2:].double()
    assert relative_error(right[-2:], matrix @ last) < 1e-2
    assert relative_error(left[-2:], matrix.mT @ last) < 1e-2
