"""Every fusion behind one interface, and what sets each apart."""

import copy
import inspect
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from mutualformer import MutualFormerBlock
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import read_fusion

NAMES = list(FUSIONS)
# Python 3.10 takes the arguments of `Fusion.__new__` for those of the class.
OPTIONS = {
    name: set(inspect.signature(read_fusion(name).func.__init__).parameters) for name in NAMES
}
GRID = (2, 3)
each_fusion = pytest.mark.parametrize("name", NAMES)
with_dropout = pytest.mark.parametrize("name", [x for x in NAMES if "dropout" in OPTIONS[x]])


def tokens() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 6, 16, dtype=torch.float64), torch.randn(2, 6, 16, dtype=torch.float64)


def build(name: str, **options: Any) -> Any:
    heads = {"num_heads": 4} if "num_heads" in OPTIONS.get(name, ()) else {}
    return read_fusion({"name": name, **heads, **options})(16).double()


@each_fusion
def test_shape_and_gradients(name: str) -> None:
    fusion, (rgb, depth) = build(name), tokens()
    output = fusion(rgb.requires_grad_(), depth.requires_grad_(), GRID)
    assert output.shape == rgb.shape
    output.square().sum().backward()
    for modality, stream in (("rgb", rgb), ("depth", depth)):
        reads = stream.grad is not None and bool(stream.grad.abs().sum() > 0)
        assert reads == (modality in fusion.modalities)
    assert all(parameter.grad is not None for parameter in fusion.parameters())


@each_fusion
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_a_feature_map_is_the_tokens_of_its_grid(name: str, kernel_size: int) -> None:
    kernel = {"kernel_size": kernel_size} if name in NAMES[:3] else {}
    fusion, (rgb, depth) = build(name, **kernel), tokens()
    maps = [x.mT.unflatten(-1, (2, 3)) for x in (rgb, depth)]
    fused = fusion(*maps)
    assert fused.shape == (2, 16, 2, 3)
    torch.testing.assert_close(fused.flatten(2).mT, fusion(rgb, depth, (2, 3)), rtol=0, atol=0)


def test_the_third_stream_of_the_release_may_be_a_map_too() -> None:
    fusion, (rgb, depth) = build("mutualformer", variant="release"), tokens()
    maps = [x.mT.unflatten(-1, (2, 3)) for x in (rgb, depth)]
    expected = fusion(rgb, depth, tokens_fused=rgb)
    fused = fusion(*maps, tokens_fused=maps[0])
    torch.testing.assert_close(fused.flatten(2).mT, expected, rtol=0, atol=0)


@each_fusion
def test_moves_as_a_whole(name: str) -> None:
    fusion = build(name).to("meta")
    rgb, depth = (x.to("meta") for x in tokens())
    assert fusion(rgb, depth, GRID).device.type == "meta"
    assert all(x.device.type == "meta" for x in (*fusion.parameters(), *fusion.buffers()))


@with_dropout
def test_dropout_and_stochastic_depth_act_in_training_only(name: str) -> None:
    fusion, pair = build(name, dropout=0.3, drop_path=0.3), tokens()
    assert not torch.equal(fusion(*pair, GRID), fusion(*pair, GRID))
    fusion.eval()
    assert torch.equal(fusion(*pair, GRID), fusion(*pair, GRID))


@each_fusion
def test_evaluation_depends_on_the_sample_alone(name: str) -> None:
    fusion, (rgb, depth) = build(name), tokens()
    fusion(rgb, depth, GRID)  # statistics of a batch, where there are any
    fusion.eval()
    fused = fusion(rgb, depth, GRID)
    assert torch.equal(fusion(rgb, depth, GRID), fused)
    torch.testing.assert_close(fusion(rgb[:1], depth[:1], GRID), fused[:1])


@each_fusion
def test_settings_and_copies_are_those_it_was_built_with(name: str) -> None:
    given = {"num_heads": 4, "dropout": 0.1}
    given = {option: value for option, value in given.items() if option in OPTIONS[name]}
    fusion = build(name, **given)
    fusion(*tokens(), GRID)
    assert fusion.settings["class_path"] == FUSIONS[name]
    assert fusion.settings["init_args"] | given == fusion.settings["init_args"]
    for other in (copy.deepcopy(fusion), pickle.loads(pickle.dumps(fusion))):
        assert other.settings == fusion.settings
    again = read_fusion(fusion.settings)(16).double().eval()
    again.load_state_dict(fusion.state_dict())
    assert again.settings == fusion.settings
    pair = tokens()
    assert torch.equal(again(*pair, GRID), fusion.eval()(*pair, GRID))


@pytest.mark.parametrize("name", ["concat", "cross_attention", "sum", "mutualformer"])
def test_only_sum_keeps_the_modalities_apart(name: str) -> None:
    """A map without interaction is additive: f(a, b) + f(c, d) = f(a, d) + f(c, b)."""
    mixing, (a, b), (c, d) = build(name).mixing, tokens(), tokens()
    straight = mixing(a, b, None) + mixing(c, d, None)
    crossed = mixing(a, d, None) + mixing(c, b, None)
    assert torch.allclose(straight, crossed) == (name == "sum")


def test_concat_is_attention_over_all_tokens() -> None:
    mixing, (rgb, depth) = build("concat").mixing, tokens()
    q, k, v = (
        torch.cat(pair, 2)
        for pair in zip(
            mixing.qkv_rgb(mixing.norm_rgb(rgb)),
            mixing.qkv_depth(mixing.norm_depth(depth)),
            strict=True,
        )
    )
    attended = ((q @ k.mT / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
    expected = mixing.join(attended[:, :6], attended[:, 6:], rgb, depth)
    torch.testing.assert_close(mixing(rgb, depth, None), expected)


def test_cross_attention_is_the_cross_affinity_without_iterations() -> None:
    cross, (rgb, depth) = build("cross_attention").mixing, tokens()
    ours = build("mutualformer", num_iterations=0, initial_affinity="cross").mixing
    ours.attention.qkv_rgb.load_state_dict(cross.qkv_rgb.state_dict())
    ours.attention.qkv_depth.load_state_dict(cross.qkv_depth.state_dict())
    attended = ours.attention(cross.norm_rgb(rgb), cross.norm_depth(depth))
    expected = cross.join(attended.rgb_from_depth, attended.depth_from_rgb, rgb, depth)
    torch.testing.assert_close(cross(rgb, depth, None), expected)


def test_the_name_mutualformer_is_the_block_with_its_options() -> None:
    torch.manual_seed(5)
    block = MutualFormerBlock(16, 4, epsilon=0.2, num_iterations=3, affinity="symmetric").double()
    torch.manual_seed(5)
    named = build("mutualformer", epsilon=0.2, num_iterations=3, affinity="symmetric")
    pair = tokens()
    torch.testing.assert_close(named(*pair), block(*pair), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mean"}, "fusion is mean, expected one of mutualformer, concat"),
        ({"dropout": 1.0}, "dropout is 1.0, expected 0 <= dropout < 1"),
        ({"drop_path": -0.1}, "drop_path is -0.1"),
        ({"name": "sum", "drop_path": 1.5}, "drop_path is 1.5"),
        ({"attention_dropout": 1.0}, "attention_dropout is 1.0"),
        ({"num_heads": 3}, "dim is 16 and num_heads is 3"),
        ({"epsilon": 1.0}, "epsilon is 1.0"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        build(**{"name": "mutualformer", **options})
    assert words in str(error.value)


@pytest.mark.parametrize("name", [x for x in NAMES if x != "mutualformer"])
def test_options_of_another_fusion_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="epsilon"):
        build(name, epsilon=0.3)


@each_fusion
def test_streams_that_are_missing_or_differ_are_refused(name: str) -> None:
    fusion, (rgb, depth) = build(name), tokens()
    for wrong in (None, rgb[0], rgb[None, None]):
        streams = [wrong if name in fusion.modalities else None for name in ("rgb", "depth")]
        with pytest.raises(ValueError, match=r"expected \(B, N, C\) or \(B, C, H, W\)"):
            fusion(*streams)
    if len(fusion.modalities) == 2:
        with pytest.raises(ValueError, match=r"tokens_rgb is \(2, 6, 16\) and tokens_depth is"):
            fusion(rgb, depth[:, :5])


def test_a_base_class_alone_is_no_fusion() -> None:
    with pytest.raises(NotImplementedError):
        Fusion()(*tokens())


def test_an_infinite_number_of_iterations_has_one_spelling() -> None:
    block = build("mutualformer", num_iterations=math.inf)
    assert block.settings["init_args"]["num_iterations"] == "inf"


@each_fusion
def test_exports_with_a_dynamic_batch(name: str) -> None:
    fusion, pair = build(name), tokens()
    batch = torch.export.Dim("batch")
    sizes = ({0: batch}, {0: batch}, (None, None))
    exported = torch.export.export(fusion, (*pair, GRID), dynamic_shapes=sizes)
    more = [torch.cat((x, x, x)) for x in pair]
    torch.testing.assert_close(exported.module()(*more, GRID), fusion(*more, GRID))


@each_fusion
def test_compiles_as_one_graph_on_a_grid_that_is_not_square(name: str) -> None:
    fusion, grid = build(name), (5, 7)
    streams = [torch.randn(3, 35, 16, dtype=torch.float64).requires_grad_() for _ in range(2)]
    read = [x for x, y in zip(streams, ("rgb", "depth"), strict=True) if y in fusion.modalities]
    torch.compiler.reset()  # of the graphs of other fusions, whose number is limited
    gradients = []
    for function in (fusion, torch.compile(fusion, backend="eager", fullgraph=True)):
        output = function(*streams, grid)
        gradients.append((output, *torch.autograd.grad(output.square().sum(), read)))
    torch.testing.assert_close(gradients[1], gradients[0])


@each_fusion
@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_runs_on_the_grids_of_odd_images(name: str, size: tuple[int, int]) -> None:
    fusion = build(name).eval()
    rgb, depth = torch.randn(2, 1, 16, *size, dtype=torch.float64)
    fused = fusion(rgb, depth)
    assert fused.shape == (1, 16, *size)
    assert fused.isfinite().all()


@each_fusion
def test_streams_that_go_on_come_with_what_is_fused(name: str) -> None:
    fusion, pair = build(name).eval(), tokens()
    if not fusion.rewrites_streams:
        with pytest.raises(UserError, match=f"{type(fusion).__name__} rewrites no streams"):
            fusion(*pair, GRID, return_streams=True)
        return
    fused, *streams = fusion(*pair, GRID, return_streams=True)
    torch.testing.assert_close(fused, fusion(*pair, GRID), rtol=0, atol=0)
    assert [x.shape for x in streams] == [x.shape for x in pair]
    maps = [x.mT.unflatten(-1, GRID) for x in pair]
    of_maps = fusion(*maps, return_streams=True)
    for tokens_out, map_out in zip((fused, *streams), of_maps, strict=True):
        torch.testing.assert_close(map_out.flatten(2).mT, tokens_out, rtol=0, atol=0)


def test_what_goes_on_of_the_block_is_each_stream_with_its_own_half() -> None:
    fusion, (rgb, depth) = build("mutualformer"), tokens()
    half_rgb, half_depth = fusion.mixing.attend(rgb, depth, GRID)
    _, out_rgb, out_depth = fusion.fuse_and_rewrite(rgb, depth, GRID)
    torch.testing.assert_close(out_rgb - rgb, half_rgb)
    torch.testing.assert_close(out_depth - depth, half_depth)
    assert not build("mutualformer", variant="release").rewrites_streams


# Of the first six, tests/lightning_modules/cli/test_export.py makes graphs with the network around.
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES[6:])
def test_becomes_a_graph_of_onnx(name: str) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    fusion, batch = build(name).float().eval(), torch.export.Dim("batch")
    rgb, depth = torch.randn(2, 3, 16, 5, 7)
    graph = torch.onnx.export(
        fusion,
        (rgb[:2], depth[:2]),
        dynamic_shapes={"tokens_rgb": {0: batch}, "tokens_depth": {0: batch}},
        input_names=["rgb", "depth"],
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(graph.model_proto.SerializeToString())
    given = {"rgb": rgb.numpy(), "depth": depth.numpy()}
    (got,) = session.run(None, {x.name: given[x.name] for x in session.get_inputs()})
    torch.testing.assert_close(torch.from_numpy(got), fusion(rgb, depth), rtol=1e-4, atol=1e-4)
