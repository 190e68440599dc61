"""Rows of affinities against the whole affinities of the dense reference."""

import pytest
import torch
from torch import Tensor

from mutualformer.ops import affinity_rows, cross_diffusion

NUM_TOKENS, DIM = 7, 4


def queries_and_keys(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(2, 3, NUM_TOKENS, DIM, dtype=dtype) for _ in range(4)]


def whole_affinities(tensors: list[Tensor], **options: object) -> list[Tensor]:
    """Read S_r, S_d, S_rd and S_dr off what unit vectors become, D columns at a time."""
    q_r, k_r, q_d, k_d = tensors
    columns = []
    for part in torch.eye(NUM_TOKENS, dtype=q_r.dtype).split(DIM, dim=1):
        value = torch.zeros_like(q_r)
        value[..., : part.shape[1]] = part
        output = cross_diffusion(q_r, k_r, value, q_d, k_d, value, backend="dense", **options)
        columns.append([matrix[..., : part.shape[1]] for matrix in output])
    return [torch.cat(parts, dim=-1) for parts in zip(*columns, strict=True)]


@pytest.mark.parametrize("initial_affinity", ["identity", "average", "cross"])
@pytest.mark.parametrize("num_iterations", [0, 1, 3, "inf"])
@pytest.mark.parametrize("affinity", ["softmax", "symmetric"])
def test_rows_are_those_of_the_whole_affinities(
    initial_affinity: str, num_iterations: int | str, affinity: str
) -> None:
    options = {
        "epsilon": 0.6,
        "num_iterations": num_iterations,
        "initial_affinity": initial_affinity,
        "affinity": affinity,
    }
    tokens = [6, 0, 3, 3, 1, 2]  # more than D, in any order, one of them twice
    with torch.inference_mode():
        tensors = queries_and_keys()
        rows = affinity_rows(*tensors, tokens, **options)
        expected = whole_affinities(tensors, **options)
    for part, matrix in zip(rows, expected, strict=True):
        assert not part.requires_grad
        torch.testing.assert_close(part, matrix[..., tokens, :], rtol=1e-9, atol=1e-12)


def test_half_precision_is_computed_in_float32() -> None:
    tensors = queries_and_keys(torch.bfloat16)
    rows = affinity_rows(*tensors, [0], epsilon=0.6, num_iterations=1)
    assert rows.rgb.dtype == torch.float32
    torch.testing.assert_close(rows.rgb.sum(-1), torch.ones(2, 3, 1))


@pytest.mark.parametrize("token", [-1, NUM_TOKENS])
def test_a_token_outside_the_range_is_refused(token: int) -> None:
    with pytest.raises(ValueError, match=f"tokens holds {token}, expected indices from 0 to 6"):
        affinity_rows(*queries_and_keys(), [token], epsilon=0.6, num_iterations=1)
