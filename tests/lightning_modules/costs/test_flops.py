"""FLOPs of what runs, against counts by hand."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode, flop_registry, register_flop_formula

from lightning_modules.costs.flops import count_flops
from lightning_modules.costs.free_operators import FREE_OPERATORS
from mutualformer.errors import UserError
from mutualformer.fusions import MutualFormerBlock


@torch.library.custom_op("cost_tests::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return 2 * x


doubled.register_autograd(lambda _, gradient: torch.ops.cost_tests.doubled(gradient))


@torch.library.custom_op("cost_tests::same", mutates_args=())
def same(x: Tensor) -> Tensor:
    return x.clone()


same.register_autograd(lambda _, gradient: torch.ops.cost_tests.doubled(gradient))


def of_forward_and_backward(module: Callable[..., Any], *inputs: Tensor) -> tuple[int, int]:
    outputs: list[Tensor] = []
    forward = count_flops(lambda: outputs.append(module(*inputs)))
    return forward, count_flops(lambda: outputs[0].sum().backward())


def image(channels: int, side: int) -> Tensor:
    return torch.randn(2, channels, side, side, requires_grad=True)


CONVOLUTION = 2 * 2 * 10 * 10 * 8 * 9  # multiply-adds, batch, pixels, outputs, kernel


@pytest.mark.parametrize(
    ("module", "inputs", "forward"),
    [
        (nn.Linear(4, 5), torch.randn(7, 4, requires_grad=True), 2 * 7 * 4 * 5),
        (nn.Linear(4, 5, bias=False), torch.randn(2, 7, 4, requires_grad=True), 2 * 14 * 4 * 5),
        (nn.Conv2d(8, 8, 3, padding=1), image(8, 10), CONVOLUTION * 8),
        (nn.Conv2d(8, 8, 3, padding=1, groups=2), image(8, 10), CONVOLUTION * 4),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), image(8, 10), CONVOLUTION),
        (nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), image(8, 20), CONVOLUTION),
        (nn.ConvTranspose2d(8, 8, 2, stride=2), image(8, 10), 2 * 2 * 100 * 8 * 8 * 4),
        (nn.ConvTranspose2d(8, 8, 2, stride=2, groups=8), image(8, 10), 2 * 2 * 100 * 8 * 4),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
def test_a_backward_pass_makes_a_product_for_inputs_and_one_for_weights(
    module: nn.Module, inputs: Tensor, forward: int
) -> None:
    assert of_forward_and_backward(module, inputs) == (forward, 2 * forward)


def test_what_learns_nothing_has_no_gradient_of_its_weight() -> None:
    frozen = nn.Conv2d(8, 8, 3, padding=1, groups=8).requires_grad_(False)
    assert of_forward_and_backward(frozen, image(8, 10)) == (CONVOLUTION, CONVOLUTION)
    first = nn.Conv2d(8, 8, 3, padding=1)
    counted = of_forward_and_backward(first, image(8, 10).detach())
    assert counted == (CONVOLUTION * 8, CONVOLUTION * 8)


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_on_a_cpu_is_two_products_and_five_backward(is_causal: bool) -> None:
    query = torch.randn(2, 3, 11, 8, requires_grad=True)
    key, value = (torch.randn(2, 3, 13, 8, requires_grad=True) for _ in range(2))

    def attend(*tensors: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(*tensors, is_causal=is_causal)

    product = 2 * 2 * 3 * 11 * 13 * 8
    assert of_forward_and_backward(attend, query, key, value) == (2 * product, 5 * product)


def test_layers_that_torch_fuses_in_evaluation_count_as_their_products() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    by_hand = 2 * 2 * 5 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 2 * 5 * 5 * 16
    with torch.no_grad():
        assert count_flops(lambda: layer(torch.randn(2, 5, 16))) == by_hand


def test_a_mutualformer_block() -> None:
    tokens, width = 25, 16
    block = MutualFormerBlock(width, 2, backend="matrix_free").eval()
    streams = torch.randn(2, 1, tokens, width)
    # Q, K, V of two streams; f_r and f_d; g and h; the FFN.
    linear = (6 * 1 + 2 * 2 + 2 * 2 + 2 * 4) * 2 * tokens * width**2
    diffusion = 9 * 2 * tokens**2 * width
    with torch.no_grad():
        assert count_flops(lambda: block(*streams)) == linear + diffusion


@pytest.mark.parametrize(
    ("run", "by_hand"),
    [
        (lambda a, b: torch.zeros(4, 6).addmm_(a, b), 2 * 4 * 5 * 6),
        (lambda a, b: torch.zeros(1, 4, 6).baddbmm_(a[None], b[None]), 2 * 4 * 5 * 6),
        (lambda a, b: torch.addbmm(torch.zeros(4, 6), a[None], b[None]), 2 * 4 * 5 * 6),
        (lambda a, b: torch.addmv(torch.zeros(4), a, b[:, 0]), 2 * 4 * 5),
        (lambda a, b: a @ b[:, 0], 2 * 4 * 5),
        (lambda a, b: a[0] @ b[:, 0], 2 * 5),
        (lambda a, b: torch.einsum("ij,jk->ik", a, b), 2 * 4 * 5 * 6),
        (lambda a, b: nn.GRU(5, 3)(a), 2 * 4 * (5 + 3) * 9),
    ],
)
def test_products_under_other_names(run: Callable[..., object], by_hand: int) -> None:
    a, b = torch.randn(4, 5), torch.randn(5, 6)
    with torch.no_grad():
        assert count_flops(lambda: run(a, b)) == by_hand


def test_the_count_is_that_of_torch_where_torch_counts() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Linear(7, 5))
    x = torch.randn(2, 3, 15, 15)

    def run() -> None:
        layers(x).sum().backward()

    with FlopCounterMode(display=False) as counter:
        run()
    assert count_flops(run) == counter.get_total_flops() > 0


def test_a_module_may_be_given_a_parameter_in_evaluation() -> None:
    queries, layer = nn.Parameter(torch.ones(3, 4)), nn.Linear(4, 5)
    with torch.no_grad():
        assert count_flops(lambda: layer(queries)) == 2 * 3 * 4 * 5


def test_what_a_checkpoint_computes_again_counts_again() -> None:
    layer, x = nn.Linear(4, 4), torch.randn(3, 4, requires_grad=True)
    once = 2 * 3 * 4 * 4
    run = functools.partial(checkpoint, nn.Sequential(layer, nn.Sigmoid()), x, use_reentrant=True)
    assert count_flops(lambda: run().sum().backward()) == 4 * once


def test_elements_and_their_sums_are_free() -> None:
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    layers = nn.Sequential(
        nn.BatchNorm2d(4), nn.ReLU6(), nn.Hardswish(True), nn.AvgPool2d(2), nn.PixelShuffle(2)
    )

    def run() -> None:
        y = nn.functional.interpolate(layers(x), scale_factor=2, mode="bilinear").softmax(-1)
        nn.functional.binary_cross_entropy((y * 1.0).clamp_(0, 1), torch.ones_like(y)).backward()

    assert count_flops(run) == 0


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (lambda x: doubled(x), "cost_tests.doubled"),
        (lambda x: same(x).sum().backward(), "cost_tests.doubled"),
        (lambda x: torch.fft.rfft(x), "_fft_r2c"),
        (lambda x: torch.linalg.inv(x), "linalg_inv"),
        (lambda x: torch.cdist(x, x), "cdist|euclidean_dist"),
        (lambda x: nn.LSTM(4, 3)(x), "rnn|lstm"),
    ],
)
def test_an_operator_without_a_count_is_named(
    run: Callable[[Tensor], object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(flop_registry, torch.ops.cost_tests.same, lambda *_, **__: 0)
    message = f"({name}).* has no count of FLOPs, expected a formula: .*register_flop_formula"
    with pytest.raises(UserError, match=message):
        count_flops(lambda: run(torch.randn(4, 4, requires_grad=True)))


def test_an_operator_counts_by_the_formula_that_its_author_registers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of which the registry's state is taken back.
    monkeypatch.setitem(flop_registry, torch.ops.cost_tests.doubled, None)
    del flop_registry[torch.ops.cost_tests.doubled]
    register_flop_formula(torch.ops.cost_tests.doubled)(lambda shape, **_: 7 * shape[0])
    assert count_flops(lambda: doubled(torch.ones(3))) == 21


def test_every_free_operator_exists() -> None:
    aten = torch.ops.aten
    unknown = [x for x in FREE_OPERATORS if not (hasattr(aten, x) or hasattr(aten, f"{x}_"))]
    assert not unknown
