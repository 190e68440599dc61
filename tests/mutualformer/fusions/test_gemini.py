"""GeminiFusion: its formulas pixel by pixel, its size, what it refuses."""

import pytest
import torch
from literal_fusion import check_against, count, linear
from torch import Tensor, nn

from mutualformer.fusions import Gemini


def literal(fusion: Gemini, rgb: Tensor, depth: Tensor, grid: tuple[int, int]) -> Tensor:
    first, _, second, _ = fusion.relation
    rewritten = []
    for part, stream, others in (
        (fusion.attend_rgb, rgb, depth),
        (fusion.attend_depth, depth, rgb),
    ):
        pixels = []
        for own, other in zip(stream.unbind(1), others.unbind(1), strict=True):
            hidden = linear(first, torch.cat((own, other), -1))
            hidden = 0.5 * hidden * (1 + (hidden / 2**0.5).erf())
            relation = linear(second, hidden).exp()
            relation = relation / relation.sum(-1, keepdim=True)
            query = linear(part.query, own)
            keys = [linear(part.key, x) for x in (own + part.key_noise, relation * own)]
            values = [linear(part.value, x) for x in (own + part.value_noise, other)]
            heads = []
            width = own.shape[-1] // part.num_heads
            for begin in range(0, own.shape[-1], width):
                head = slice(begin, begin + width)
                weights = [
                    ((query[:, head] * key[:, head]).sum(-1, keepdim=True) / width**0.5).exp()
                    for key in keys
                ]
                parts = [w * value[:, head] for w, value in zip(weights, values, strict=True)]
                heads.append(sum(parts) / sum(weights))
            pixels.append(own + linear(part.projection, torch.cat(heads, -1)))
        rewritten.append(torch.stack(pixels, 1))
    return (rewritten[0] + rewritten[1]) / 2


@pytest.mark.parametrize("num_heads", [1, 3])
def test_equals_its_formulas(num_heads: int) -> None:
    check_against(Gemini(6, num_heads=num_heads), literal, 6)


def test_is_torch_s_attention_to_two_tokens() -> None:
    part = Gemini(8, num_heads=4).double().attend_rgb
    tokens, other, relation = torch.randn(3, 2, 6, 8, dtype=torch.float64)
    theirs = nn.MultiheadAttention(8, 4, batch_first=True).double()
    with torch.no_grad():
        projections = (part.query, part.key, part.value)
        theirs.in_proj_weight.copy_(torch.cat([x.weight for x in projections]))
        theirs.in_proj_bias.copy_(torch.cat([x.bias for x in projections]))
    theirs.out_proj.load_state_dict(part.projection.state_dict())
    keys = torch.stack((tokens + part.key_noise, relation * tokens), 2).flatten(0, 1)
    values = torch.stack((tokens + part.value_noise, other), 2).flatten(0, 1)
    attended, _ = theirs(tokens.reshape(12, 1, 8), keys, values)
    expected = tokens + attended.reshape(2, 6, 8)
    torch.testing.assert_close(part(tokens, other, relation), expected)


@pytest.mark.parametrize(
    ("dim", "parameters"), [(64, 45_952), (128, 182_016), (256, 724_480), (512, 2_890_752)]
)
def test_has_the_parameters_of_its_source(dim: int, parameters: int) -> None:
    assert count(Gemini(dim)) == parameters


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="dim is 30 and num_heads is 8"):
        Gemini(30)
