"""CAVER: its formulas patch by patch and channel by channel, its size, what it refuses."""

import pytest
import torch
from literal_fusion import batch_norm, check_against, convolve_grid, count, linear
from torch import Tensor

from mutualformer.fusions import ViewMixed
from mutualformer.fusions.view_mixed import ConvFeedForward, SelfUnit
from mutualformer.layers.view_mixed_attention import ViewMixedAttention

Grid = tuple[int, int]


def softmax_average(logits: list[Tensor], values: list[Tensor]) -> Tensor:
    weights = [x.exp() for x in logits]
    total = sum(weights)
    return sum(w / total * v for w, v in zip(weights, values, strict=True))


def spatial_view(attention: ViewMixedAttention, asks: Tensor, asked: Tensor, grid: Grid) -> Tensor:
    """Let every patch, cut off at the border, look at every other; pixels outside are not there."""
    size, dim = attention.patch_size, asks.shape[-1]
    width = dim // attention.num_heads
    query = linear(attention.query_spatial, asks)
    key, value = linear(attention.key_value_spatial, asked).split(dim, -1)
    corners = [(y, x) for y in range(0, grid[0], size) for x in range(0, grid[1], size)]

    def pixel(stream: Tensor, corner: Grid, offset: Grid, head: slice) -> Tensor | None:
        y, x = corner[0] + offset[0], corner[1] + offset[1]
        return stream[:, y * grid[1] + x, head] if y < grid[0] and x < grid[1] else None

    offsets = [(y, x) for y in range(size) for x in range(size)]
    heads = []
    for begin in range(0, dim, width):
        head = slice(begin, begin + width)
        pixels: dict[int, Tensor] = {}
        for corner in corners:
            logits = []
            for other in corners:
                products = [
                    (pixel(query, corner, o, head) * pixel(key, other, o, head)).sum(-1, True)
                    for o in offsets
                    if pixel(query, corner, o, head) is not None
                    and pixel(key, other, o, head) is not None
                ]
                logits.append(sum(products) / (width * size**2) ** 0.5)
            for offset in offsets:
                if pixel(query, corner, offset, head) is None:
                    continue
                values = [pixel(value, other, offset, head) for other in corners]
                values = [torch.zeros_like(query[:, 0, head]) if v is None else v for v in values]
                place = (corner[0] + offset[0]) * grid[1] + corner[1] + offset[1]
                pixels[place] = softmax_average(logits, values)
        heads.append(torch.stack([pixels[n] for n in range(asks.shape[1])], 1))
    return linear(attention.projection_spatial, torch.cat(heads, -1))


def channel_view(attention: ViewMixedAttention, asks: Tensor, asked: Tensor) -> Tensor:
    dim = asks.shape[-1]
    width = dim // attention.num_heads
    query = linear(attention.query_channel, asks)
    key, value = linear(attention.key_value_channel, asked).split(dim, -1)
    channels = []
    for channel in range(dim):
        first = channel // width * width
        of_head = range(first, first + width)
        logits = [
            (query[..., channel] * key[..., c]).sum(-1, True) / asks.shape[1] ** 0.5
            for c in of_head
        ]
        channels.append(softmax_average(logits, [value[..., c] for c in of_head]))
    return linear(attention.projection_channel, torch.stack(channels, -1))


def mixed(attention: ViewMixedAttention, asks: Tensor, asked: Tensor, grid: Grid) -> Tensor:
    weights = [1 / (1 + (-x).exp()) for x in (attention.alpha, attention.beta)]
    spatial = spatial_view(attention, asks, asked, grid)
    return weights[0] * spatial + weights[1] * channel_view(attention, asks, asked)


def feed_forward(part: ConvFeedForward, tokens: Tensor, grid: Grid) -> Tensor:
    for convolution, norm in zip(part.convolutions, part.norms, strict=True):
        tokens = batch_norm(norm.norm, convolve_grid(convolution.weight, None, tokens, grid))
        tokens = tokens.clamp(min=0)
    return linear(part.last, tokens)


def within(unit: SelfUnit, tokens: Tensor, grid: Grid) -> Tensor:
    normed = batch_norm(unit.norm_attention.norm, tokens)
    tokens = tokens + mixed(unit.attention, normed, normed, grid)
    return tokens + feed_forward(unit.feed_forward, batch_norm(unit.norm.norm, tokens), grid)


def literal(fusion: ViewMixed, rgb: Tensor, depth: Tensor, grid: Grid) -> Tensor:
    rgb, depth = within(fusion.within_rgb, rgb, grid), within(fusion.within_depth, depth, grid)
    unit = fusion.across
    normed_rgb = batch_norm(unit.norm_rgb.norm, rgb)
    normed_depth = batch_norm(unit.norm_depth.norm, depth)
    joined = torch.cat(
        (
            rgb + mixed(unit.rgb_from_depth, normed_rgb, normed_depth, grid),
            depth + mixed(unit.depth_from_rgb, normed_depth, normed_rgb, grid),
        ),
        -1,
    )
    joined = joined + feed_forward(unit.feed_forward, batch_norm(unit.norm.norm, joined), grid)
    return linear(fusion.projection, within(fusion.within_both, joined, grid))


@pytest.mark.parametrize(
    ("num_heads", "patch_size", "grid"), [(1, 3, (5, 7)), (2, 2, (4, 6)), (2, 8, (5, 7))]
)
def test_equals_its_formulas(num_heads: int, patch_size: int, grid: Grid) -> None:
    fusion = ViewMixed(4, num_heads=num_heads, patch_size=patch_size)
    check_against(fusion, literal, 4, grid)


def test_both_views_begin_with_half_their_weight() -> None:
    attention = ViewMixed(8).across.rgb_from_depth
    assert attention.alpha.sigmoid() == attention.beta.sigmoid() == 0.5


@pytest.mark.parametrize(
    ("dim", "across"), [(64, 379_012), (128, 1_511_684), (256, 6_038_020), (512, 24_134_660)]
)
def test_has_the_parameters_of_its_source(dim: int, across: int) -> None:
    with torch.device("meta"):
        fusion = ViewMixed(dim)
    assert count(fusion.across) == across


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_heads": 3}, "dim is 8 and num_heads is 3"),
        ({"patch_size": 0}, "patch_size is 0, expected an integer >= 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        ViewMixed(8, **options)
    assert words in str(error.value)


def test_a_missing_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="spatial_size is None for 6 tokens; view-mixed attention"):
        ViewMixed(8)(torch.zeros(2, 6, 8), torch.zeros(2, 6, 8))
