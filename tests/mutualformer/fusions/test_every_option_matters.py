"""No option of a fusion or a block is lost on the way to where it acts, and values are pinned."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mutualformer.fusions import FUSIONS, MixingFusion
from mutualformer.fusions.spelling import read_fusion
from mutualformer.layers import BranchDropout, QueryKeyValueProjection, TokenConvolution
from mutualformer.ops.cross_diffusion import cross_diffusion

# Another value than the default of every option that a fusion has.
CHANGED: dict[str, Any] = {
    "num_heads": 4,
    "variant": "release",
    "mlp_ratio": 2.0,
    "qkv_bias": False,
    "kernel_size": 3,
    "dropout": 0.5,
    "drop_path": 0.5,
    "attention_dropout": 0.5,
    "epsilon": 0.2,
    "num_iterations": 3,
    "initial_affinity": "average",
    "affinity": "symmetric",
    "backend": "dense",
    "num_bottlenecks": 3,
    "num_layers": 3,
    "sparsity": 1e-3,
    "patch_size": 2,
    "without": ["rgb_from_depth"],
}
DIM = 16
WITH_DEFAULTS = {name: read_fusion(name)(DIM) for name in FUSIONS}
MIXING = [name for name, fusion in WITH_DEFAULTS.items() if isinstance(fusion, MixingFusion)]
BUILT = [(name, x) for name in FUSIONS for x in WITH_DEFAULTS[name].settings["init_args"]]


def build(name: str, dim: int = DIM, **options: Any) -> Any:
    torch.manual_seed(0)
    heads = {"num_heads": 2} if (name, "num_heads") in BUILT else {}
    return read_fusion({"name": name, **heads, **options})(dim).double()


def compute(fusion: nn.Module) -> Tensor:
    torch.manual_seed(0)
    rgb, depth = torch.randn(2, 4, 6, DIM, dtype=torch.float64)
    return fusion(rgb, depth, (2, 3))


def parts(fusion: nn.Module, kind: type) -> list[Any]:
    return [module for module in fusion.modules() if isinstance(module, kind)]


@pytest.mark.parametrize(("name", "option"), BUILT)
def test_every_option_changes_what_is_built_or_computed(
    name: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = build(name), build(name, **{option: CHANGED[option]})
    values = [fusion.settings["init_args"][option] for fusion in (one, other)]
    assert values[0] != values[1] == CHANGED[option]
    if option == "backend":
        torch.testing.assert_close(compute(one), compute(other))
        monkeypatch.setattr(cross_diffusion, "cross_diffusion_operator", None)
        compute(other)
        with pytest.raises(TypeError):
            compute(one)
        return
    if option == "sparsity":  # which acts in training only
        for fusion in (one, other):
            compute(fusion)
        losses = [fusion.auxiliary_loss() for fusion in (one, other)]
        torch.testing.assert_close(losses[1], 1e3 * losses[0])
        return
    shapes = [{key: x.shape for key, x in fusion.state_dict().items()} for fusion in (one, other)]
    assert shapes[0] != shapes[1] or not torch.allclose(compute(one), compute(other))


@pytest.mark.parametrize("name", [*MIXING, "release"])
def test_options_arrive_in_every_part(name: str) -> None:
    options = {x: CHANGED[x] for own, x in BUILT if own == name and x != "variant"}
    if name == "release":
        name, options = "mutualformer", {x: CHANGED[x] for x in ("epsilon", "num_heads")}
        options |= {x: CHANGED[x] for x in ("mlp_ratio", "qkv_bias", "dropout", "drop_path")}
        options["variant"] = "release"
    fusion = build(name, **options)
    projections = parts(fusion, QueryKeyValueProjection)
    assert len(projections) == {"rgb": 1, "depth": 1}.get(name, 3 if "variant" in options else 2)
    assert all(x.num_heads == 4 and x.projection.bias is None for x in projections)
    kernels = [x.convolution.kernel_size for x in parts(fusion, TokenConvolution)]
    num_convolutions = {"mutualformer": 4, "concat": 2, "cross_attention": 2}.get(name, 0)
    assert kernels == [(3, 3)] * (0 if "variant" in options else num_convolutions)
    assert fusion.feed_forward[0].out_features == 2 * DIM
    assert [x.p for x in parts(fusion, nn.Dropout)] == [0.5, 0.5]
    drops = parts(fusion, BranchDropout)
    assert [x.drop_path for x in drops] == [0.5] * (3 if name == "sum" else 2)
    assert sorted(x.dropout for x in drops)[1:] == [0.5] * (len(drops) - 1)


@pytest.mark.parametrize("name", [*MIXING, "release"])
def test_stochastic_depth_leaves_the_residual_path(name: str) -> None:
    options = {"variant": "release"} if name == "release" else {}
    fusion = build("mutualformer" if options else name, drop_path=1 - 1e-9, **options)
    torch.manual_seed(0)
    rgb, depth = torch.randn(2, 4, 6, DIM, dtype=torch.float64)
    expected = {"rgb": rgb, "depth": depth, "sum": rgb + depth, "release": (rgb + depth) / 2}
    residual = expected[name] if name in expected else fusion.mixing.join.h(rgb, depth)
    torch.testing.assert_close(fusion(rgb, depth), residual)


OTHERS = {"kernel_size": 3, "num_iterations": 3, "affinity": "symmetric", "epsilon": 0.3}
# The first four features of the first token, and the sum of squares: of version 0.1.0, checked
# against the formulas in the other tests of this folder.
PINNED = [
    ({}, [1.1786294645, 2.414234083, 2.2675609775, -2.0361322825, 142.49202112]),
    (
        {**OTHERS, "initial_affinity": "cross"},
        [0.552001356, -1.1043556318, 1.2717298014, -4.5064921052, 1038.83280118],
    ),
    (
        {"variant": "release"},
        [-1.6026190308, 1.0112983388, 2.0660380477, -1.2583583577, 78.78634803],
    ),
    (
        {"name": "concat"},
        [-2.9985928605, -2.7414527776, -1.3540332315, -0.0423735676, 128.90548899],
    ),
    (
        {"name": "cross_attention"},
        [-2.9106833717, -2.2200807658, -0.9903315969, 0.448223434, 135.46782808],
    ),
    ({"name": "sum"}, [-5.373124761, -0.8970956676, 1.7372945776, 0.209891211, 108.45818671]),
    ({"name": "rgb"}, [-3.0330328065, 0.1869383846, -0.7055640118, 1.0858342045, 69.09334165]),
    ({"name": "depth"}, [-3.9141320158, 0.5106863863, 2.2418023233, -0.3483958529, 97.39412422]),
]


@pytest.mark.parametrize(("options", "expected"), PINNED)
def test_outputs_stay_what_they_were(options: dict[str, Any], expected: list[float]) -> None:
    torch.manual_seed(0)
    rgb, depth = torch.randn(2, 1, 6, 8, dtype=torch.float64)
    fusion = build(**{"name": "mutualformer", "dim": 8, **options}).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in fusion.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.3 * values)
        output = fusion(rgb, depth, (2, 3))
    got = torch.cat((output[0, 0, :4], output.square().sum()[None]))
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=0)
