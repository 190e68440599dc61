"""What no fusion can be built with: refused by name, with what would fit, whatever its type."""

import math
from typing import Any

import pytest

from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network import TokenNetwork

NO_COUNT: list[Any] = [0, -1, 2.5, 2.0, True, "2", None, math.nan]
NO_PROBABILITY: list[Any] = [-0.1, 1.0, 1.5, math.nan, "0.1", None, True]
BAD: dict[str, list[Any]] = {
    "num_heads": [*NO_COUNT, 3, 32],
    "patch_size": NO_COUNT,
    "num_layers": [*NO_COUNT, 1],
    "num_bottlenecks": NO_COUNT,
    "kernel_size": [*NO_COUNT, 2],
    "mlp_ratio": [0, -1, 1 / 32, math.nan, math.inf, "4", None, True],
    "dropout": NO_PROBABILITY,
    "drop_path": NO_PROBABILITY,
    "attention_dropout": NO_PROBABILITY,
    "epsilon": NO_PROBABILITY,
    "sparsity": [-1, math.nan, math.inf, "1", None, True],
    "qkv_bias": [2, "true", None],
    "variant": ["x", None, 1],
    "num_iterations": [-1, 1.5, "many", None, True, math.nan],
    "initial_affinity": ["x", None],
    "affinity": ["x", None],
    "backend": ["x", None],
    "without": ["f", ["x"], ["f", "f"], [3], [["f"]], 3, None, "x"],
}
OPTIONS = {name: read_fusion(name)(16).settings["init_args"] for name in FUSIONS}


def build(name: str, dim: Any = 16, **options: Any) -> Fusion:
    return TokenNetwork(fusion=read_fusion({"name": name, **options}), dim=dim).fusion


def test_no_option_is_left_out() -> None:
    assert {option for options in OPTIONS.values() for option in options} == BAD.keys()


@pytest.mark.parametrize(("name", "option"), [(x, y) for x in FUSIONS for y in OPTIONS[x]])
def test_an_option_outside_its_range(name: str, option: str) -> None:
    for value in BAD[option]:
        with pytest.raises(UserError) as error:
            build(name, **{option: value})
        message = str(error.value)
        assert f"{option} is {value}" in message or f"{option} is {value!r}" in message
        assert "expected" in message and message.endswith(f"(of the fusion {name})")


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("dim", [0, -8, 2.5, 16.0, True, "16", None])
def test_a_width_that_is_none(name: str, dim: Any) -> None:
    for builder in (build, lambda name, dim: read_fusion(name)(dim)):
        with pytest.raises(UserError, match="dim is .* expected an integer >= 1"):
            builder(name, dim)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_width_that_the_fusion_cannot_take(name: str) -> None:
    """Widths are tried one by one; each makes a fusion that runs, or is refused."""
    import torch

    refused = []
    for dim in range(1, 21):
        try:
            fusion = build(name, dim).eval()
        except UserError as error:
            refused.append(dim)
            assert f"dim is {dim}" in str(error) and "expected" in str(error)
            assert str(error).endswith(f"(of the fusion {name})")
        else:
            assert fusion(*torch.randn(2, 1, dim, 3, 2)).shape == (1, dim, 3, 2)
    fitting = {"gated_sum": 1, "view_mixed": 2, "sa_gate": 0}
    least = 16 if name == "sa_gate" else 1
    every = fitting.get(name, 8) or 1
    assert refused == [x for x in range(1, 21) if x < least or x % every]


def test_what_would_fit_is_told() -> None:
    with pytest.raises(UserError, match="a num_heads that divides dim: 1, 2, 4, 5, 10, 20 "):
        MutualFormerNetwork("resnet18", fusion_dim=20)


@pytest.mark.parametrize(
    ("encoder", "strides", "words"),
    [
        ("resnet18", [2], "holds 2, expected some of 4, 8, 16, 32: there resnet18 has features"),
        ("resnet18", [8, 64], "holds 64, expected some of 4, 8"),
        ("resnet18", [8.0], "holds 8.0, expected some of"),
        ("resnet18", ["8"], "holds '8', expected some of"),
        ("resnet18", [True], "holds True, expected some of"),
        ("resnet18", [], "is [], expected distinct strides, some of 4, 8, 16, 32"),
        ("resnet18", [8, 8], "is [8, 8], expected distinct strides"),
        ("tu-vgg11", [], "expected distinct strides, some of 4, 8, 16, 32"),
    ],
)
def test_a_stride_that_the_encoder_lacks(encoder: str, strides: Any, words: str) -> None:
    with pytest.raises(UserError) as error:
        MutualFormerNetwork(encoder, fusion_strides=strides)
    assert words in str(error.value)


@pytest.mark.parametrize("option", ["rgb_dim", "depth_dim", "num_labels", "dim"])
def test_a_width_of_a_network_on_tokens(option: str) -> None:
    with pytest.raises(UserError, match=f"{option} is 0, expected an integer >= 1"):
        TokenNetwork(**{option: 0})
