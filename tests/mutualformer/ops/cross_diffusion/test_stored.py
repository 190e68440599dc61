"""The form for export computes what the reference does."""

from itertools import product

import pytest
import torch

from mutualformer import cross_diffusion
from mutualformer.ops.cross_diffusion.stored import cross_diffusion_stored


@pytest.mark.parametrize(
    ("num_iterations", "initial_affinity", "affinity"),
    product((0, 1, 2, 9), ("identity", "average", "cross"), ("softmax", "symmetric")),
)
def test_equals_the_dense_reference(
    num_iterations: int, initial_affinity: str, affinity: str
) -> None:
    tensors = [torch.randn(3, 13, 4, dtype=torch.float64) for _ in range(6)]
    options = {"initial_affinity": initial_affinity, "affinity": affinity}
    expected = cross_diffusion(
        *tensors, epsilon=0.7, num_iterations=num_iterations, backend="dense", **options
    )
    got = cross_diffusion_stored(*tensors, 0.7, num_iterations, *options.values(), "auto")
    assert len(got) == 4
    for value, reference in zip(got, expected, strict=True):
        torch.testing.assert_close(value, reference)
