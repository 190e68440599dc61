"""Rows of affinities as a figure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_modules.report.second_modality import as_heading
from mutualformer.layers.attention import CrossDiffusionAttention

_TILE = 1.4  # inches
_LABEL = 0.4
_MARKER = "#ff2d95"


@dataclass(frozen=True, eq=False)
class AffinitySample:
    """An image with what some of its tokens attend to.

    Attributes:
        name: to show beside it.
        size: original height and width.
        rgb: `(H, W, 3)` in [0, 1].
        depth: `(H, W, 1)` or `(H, W, 3)` in [0, 1].
        mask: bool `(H, W)`.
        points: for each of K tokens, its name and a pixel (row, column) in it.
        stride: side of a token in pixels.
        maps: `(4, K, h, w)`, rows of S_r, S_d, S_rd and S_dr on the grid of tokens.
    """

    name: str
    size: tuple[int, int]
    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    points: dict[str, tuple[int, int]]
    stride: int
    maps: np.ndarray


def draw_affinities(
    samples: Sequence[AffinitySample], attention: CrossDiffusionAttention, modality: str
) -> bytes:
    """Draw one line per token as `.png`: RGB, depth, mask, then its rows of the four affinities.

    ``modality`` is what the second one is called, where it is not depth.
    """
    # Not pyplot, which keeps figures.
    from matplotlib.figure import Figure

    steps = attention.options.num_iterations
    superscript = r"(\infty)" if isinstance(steps, str) else f"({steps})"
    headings = (
        *("RGB", as_heading(modality), "Mask"),
        *("$S_r$: RGB reads RGB", f"$S_d$: {modality} reads {modality}"),
        rf"$S_{{rd}}^{{{superscript}}}$: RGB reads {modality}",
        rf"$S_{{dr}}^{{{superscript}}}$: {modality} reads RGB",
    )
    lines = [(sample, index) for sample in samples for index in range(len(sample.points))]
    ratio = max(sample.size[0] / sample.size[1] for sample in samples)
    height = _TILE * min(ratio, 1.5) + 0.2
    figure = Figure(figsize=(len(headings) * _TILE + _LABEL, len(lines) * height + 0.6))
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
    grid = figure.subplots(len(lines), len(headings), squeeze=False)
    for (sample, index), row in zip(lines, grid, strict=True):
        _draw_line(row, sample, index)
    for axes, heading in zip(grid[0], headings, strict=True):
        axes.set_title(heading, fontsize=8)
    stride, (height, width) = samples[0].stride, samples[0].maps.shape[-2:]
    figure.supxlabel(
        "What the ringed token attends to, mean over "
        f"{attention.qkv_rgb.num_heads} heads, at stride {stride} ({height} × {width} tokens), "
        f"ε = {attention.options.epsilon:g}. Each map has its own scale, written below it: from "
        "dark to bright, in multiples of 1/N.",
        fontsize=8,
        color="#555555",
    )
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200)
    return file.getvalue()


def _draw_line(row: Any, sample: AffinitySample, index: int) -> None:
    label = list(sample.points)[index]
    y, x = ((side // sample.stride + 0.5) * sample.stride for side in sample.points[label])
    height, width = sample.mask.shape
    aspect = (sample.size[0] / height) / (sample.size[1] / width)
    for axes, image in zip(row, (sample.rgb, sample.depth, sample.mask), strict=False):
        axes.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, aspect=aspect)
    num_tokens = sample.maps[0, index].size
    for axes, values in zip(row[3:], sample.maps[:, index], strict=True):
        pixels = values.repeat(sample.stride, 0).repeat(sample.stride, 1)[:height, :width]
        axes.imshow(pixels, cmap="magma", aspect=aspect)
        low, high = values.min() * num_tokens, values.max() * num_tokens
        axes.set_xlabel(f"{low:.2f} – {high:.2f}", fontsize=7, color="#555555", labelpad=2)
    for axes in row:
        axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.spines[:].set_visible(False)
        for colour, line_width in (("white", 2.4), (_MARKER, 1.2)):
            ring = {"markersize": 8, "fillstyle": "none", "markeredgewidth": line_width}
            axes.plot(x, y, "o", color=colour, clip_on=False, **ring)
    name = sample.name if len(sample.name) <= 20 else f"{sample.name[:19]}…"
    row[0].set_ylabel(f"{name}\n{label} token", fontsize=7.5, parse_math=False)
