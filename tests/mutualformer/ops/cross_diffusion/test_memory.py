"""What the matrix-free forms allocate: nothing of size N × N, nothing that grows with T."""

import weakref

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mutualformer.ops.affinity import row_block_affinity
from mutualformer.ops.cross_diffusion.checkpointed import descend
from mutualformer.ops.cross_diffusion.operator import choose_form
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions


class Allocations(TorchDispatchMode):
    """Watch the largest tensor that is made, and the most bytes alive at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.alive = self.peak = 0
        self.seen: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, arguments=(), options=None):  # noqa: ANN001, ANN204
        result = function(*arguments, **(options or {}))
        for tensor in result if isinstance(result, (list, tuple)) else (result,):
            if isinstance(tensor, Tensor):
                self._watch(tensor)
        return result

    def _watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        self.largest = max(self.largest, storage.nbytes())
        if key not in self.seen:
            self.seen[key] = storage.nbytes()
            self.alive += storage.nbytes()
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.alive -= self.seen.pop(key, 0)


def measure(num_tokens: int, num_iterations: int) -> Allocations:
    """Run forward and backward at D = 4, two heads."""
    tensors = [torch.randn(2, num_tokens, 4) for _ in range(6)]
    pairs = [tensors[0::3], tensors[1::3], tensors[2::3]]
    options = CrossDiffusionOptions(0.9, num_iterations, "identity", "softmax")
    with Allocations() as allocations:
        form = choose_form(options)
        outputs, saved = form.forward(options, *pairs)
        form.backward(options, *pairs, outputs, saved, [torch.ones_like(x) for x in outputs])
    return allocations


def test_no_tensor_is_larger_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_block_affinity, "CPU_BLOCK", 20_000)
    num_tokens = 1000
    assert measure(num_tokens, 2).largest <= 4 * 2 * num_tokens * 4 * 6 < 4 * num_tokens**2 / 10


def test_memory_is_linear_in_the_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_block_affinity, "CPU_BLOCK", 4000)
    small, large = measure(500, 1).peak, measure(2000, 1).peak
    assert large < 4.5 * small


def test_memory_does_not_grow_with_the_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_block_affinity, "CPU_BLOCK", 4000)
    few, many, most = (measure(100, count).peak for count in (32, 153, 500))
    assert many < 1.5 * few
    assert most < 1.5 * few


@pytest.mark.parametrize("count", [0, 1, 5, 8, 9, 64, 65, 200])
def test_states_are_revisited_in_descending_order(count: int) -> None:
    states = descend(lambda state: [state[0] + 1], [torch.zeros(())], count)
    assert [int(state[0]) for state in states] == list(range(count, -1, -1))
