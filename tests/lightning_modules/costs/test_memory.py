"""Peak memory on a CPU, against a count by hand."""

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.costs.memory import peak_memory
from mutualformer.errors import UserError

CPU = torch.device("cpu")
MEGABYTE = 1 << 20


def megabytes(count: int) -> Tensor:
    return torch.empty(count * MEGABYTE, dtype=torch.uint8)


def test_what_lives_at_once_counts_and_nothing_else() -> None:
    before = [megabytes(50)]

    def run() -> None:
        first, second = megabytes(1), megabytes(2)
        del first
        before.clear()  # whose memory was held before
        third = megabytes(4)
        del second, third
        megabytes(5)

    assert peak_memory(run, CPU) == 6 * MEGABYTE


def test_what_an_operator_needs_within_counts() -> None:
    @torch.library.custom_op("cost_tests::wasteful", mutates_args=())
    def wasteful(x: Tensor) -> Tensor:
        megabytes(3)
        return x.clone()

    x = megabytes(1)
    assert peak_memory(lambda: wasteful(x), CPU) == 3 * MEGABYTE


def test_activations_live_until_the_backward_pass() -> None:
    layers = nn.Sequential(*(nn.Sigmoid() for _ in range(4)))
    x = torch.zeros(MEGABYTE // 4, requires_grad=True)
    with torch.no_grad():
        assert peak_memory(lambda: layers(x), CPU) == 2 * MEGABYTE
    # All four outputs, the last of them held by who called, and the gradients of a layer's output
    # and of its input.
    assert peak_memory(lambda: layers(x).backward(x.detach()), CPU) == 6 * MEGABYTE


def test_a_device_whose_memory_is_not_known_is_refused() -> None:
    with pytest.raises(UserError, match="the device is mps, whose memory cannot be measured"):
        peak_memory(lambda: None, torch.device("mps"))
