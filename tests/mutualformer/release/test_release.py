"""The authors' parameters give the authors' outputs and input gradients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mutualformer import MutualFormerBlock

FIXTURE = Path(__file__).parents[1] / "data" / "release_block_dim32_heads4.npz"
STREAMS = ("rgb", "depth", "fused")


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    with np.load(FIXTURE) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture(scope="module")
def state_dict(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix("state/"): x for name, x in arrays.items() if name.startswith("state/")
    }


def relative_error(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).norm() / expected.norm()).item()


def test_output_and_input_gradients(
    arrays: dict[str, Tensor], state_dict: dict[str, Tensor]
) -> None:
    block = MutualFormerBlock.from_release(state_dict, num_heads=4)
    inputs = {name: arrays[f"input/tokens_{name}"].clone().requires_grad_() for name in STREAMS}
    output = block(inputs["rgb"], inputs["depth"], tokens_fused=inputs["fused"])
    assert relative_error(output, arrays["output"]) < 1e-5
    output.backward(arrays["cotangent"])
    for name in STREAMS:
        assert relative_error(inputs[name].grad, arrays[f"grad/tokens_{name}"]) < 1e-5


def test_the_paper_and_the_release_are_different_functions(
    arrays: dict[str, Tensor], state_dict: dict[str, Tensor]
) -> None:
    block = MutualFormerBlock.from_release(state_dict, num_heads=4, epsilon=0.5)
    output = block(
        *(arrays[f"input/tokens_{name}"] for name in STREAMS[:2]),
        tokens_fused=arrays["input/tokens_fused"],
    )
    assert relative_error(output, arrays["output"]) > 1e-3


def test_without_a_third_stream_the_mean_stands_in(
    arrays: dict[str, Tensor], state_dict: dict[str, Tensor]
) -> None:
    block = MutualFormerBlock.from_release(state_dict, num_heads=4)
    rgb, depth = arrays["input/tokens_rgb"], arrays["input/tokens_depth"]
    expected = block(rgb, depth, tokens_fused=(rgb + depth) / 2)
    torch.testing.assert_close(block(rgb, depth), expected)


@pytest.mark.parametrize("without_bias", [False, True])
def test_widths_and_biases_are_read_off_the_parameters(without_bias: bool) -> None:
    block = MutualFormerBlock(16, 2, variant="release", mlp_ratio=2, qkv_bias=not without_bias)
    from mutualformer.release.weights import RELEASE_MODULES

    own = block.state_dict()
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for theirs, ours in RELEASE_MODULES.items()
        for kind in ("weight", "bias")
    }
    released = {names[name]: value for name, value in own.items()}
    rebuilt = MutualFormerBlock.from_release(released, num_heads=2)
    tokens = torch.randn(2, 9, 16)
    torch.testing.assert_close(rebuilt(tokens, -tokens), block(tokens, -tokens))


def test_foreign_parameters_are_named(state_dict: dict[str, Tensor]) -> None:
    missing = {name: x for name, x in state_dict.items() if name != "norm2.bias"}
    with pytest.raises(ValueError, match=r"missing norm2\.bias; unknown nothing"):
        MutualFormerBlock.from_release(missing, num_heads=4)
    with pytest.raises(ValueError, match=r"unknown head\.weight"):
        MutualFormerBlock.from_release({**state_dict, "head.weight": torch.ones(1)}, num_heads=4)
    with pytest.raises(ValueError, match="do not fit together"):
        MutualFormerBlock.from_release({**state_dict, "norm1.bias": torch.ones(3)}, num_heads=4)


@pytest.mark.parametrize(
    "option",
    [
        {"num_iterations": 2},
        {"initial_affinity": "average"},
        {"affinity": "symmetric"},
        {"kernel_size": 3},
    ],
)
def test_options_that_the_release_lacks_are_refused(option: dict) -> None:
    with pytest.raises(ValueError, match="variant='release' has only"):
        MutualFormerBlock(32, 4, variant="release", **option)
