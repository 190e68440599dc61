"""Rows of affinities as a figure."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from lightning_modules.report.second_modality import as_heading
from mutualformer.layers.attention import CrossDiffusionAttention

_TILE = 1.4  # inches
_LABEL = 0.4
_MARKER = "#ff2d95"
COLOURS = "magma"
"""Matplotlib's map from dark to bright."""


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


def pixels_of_tokens(values: np.ndarray, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Return values `(h, w)` of tokens as those of an image's pixels, `size`."""
    return values.repeat(stride, 0).repeat(stride, 1)[: size[0], : size[1]]


def show_image(axes: Any, image: np.ndarray, aspect: float) -> None:
    """Show `(H, W)`, `(H, W, 1)` or `(H, W, 3)` in [0, 1], without ticks and frame."""
    axes.imshow(image.clip(0, 1), cmap="gray", vmin=0, vmax=1, aspect=aspect)
    _bare(axes, image.shape)


def show_affinities(
    axes: Any, values: np.ndarray, stride: int, size: tuple[int, int], aspect: float
) -> None:
    """Show `(h, w)` of tokens, and below it the smallest and the largest in multiples of 1/N."""
    pixels = pixels_of_tokens(values, stride, size)
    axes.imshow(pixels, cmap=COLOURS, aspect=aspect)
    low, high = values.min() * values.size, values.max() * values.size
    axes.set_xlabel(f"{low:.2f} – {high:.2f}", fontsize=7, color="#555555", labelpad=2)
    _bare(axes, size)


def ring(axes: Any, pixel: tuple[int, int], stride: int) -> None:
    """Mark the token that a pixel (row, column) lies in."""
    # The first pixel's centre is 0.
    y, x = ((side // stride + 0.5) * stride - 0.5 for side in pixel)
    for colour, line_width in (("white", 2.4), (_MARKER, 1.2)):
        looks = {"markersize": 8, "fillstyle": "none", "markeredgewidth": line_width}
        axes.plot(x, y, "o", color=colour, clip_on=False, **looks)


def _bare(axes: Any, size: Sequence[int]) -> None:
    axes.set(xticks=[], yticks=[], xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
    axes.spines[:].set_visible(False)


def _draw_line(row: Any, sample: AffinitySample, index: int) -> None:
    label = list(sample.points)[index]
    height, width = sample.mask.shape
    aspect = (sample.size[0] / height) / (sample.size[1] / width)
    for axes, image in zip(row, (sample.rgb, sample.depth, sample.mask), strict=False):
        show_image(axes, image, aspect)
    for axes, values in zip(row[3:], sample.maps[:, index], strict=True):
        show_affinities(axes, values, sample.stride, (height, width), aspect)
    for axes in row:
        ring(axes, sample.points[label], sample.stride)
    row[0].set_ylabel(f"{short(sample.name)}\n{label} token", fontsize=7.5, parse_math=False)


def short(name: str) -> str:
    """Return a name that fits beside a tile."""
    return name if len(name) <= 20 else f"{name[:19]}…"


def choose_points(mask: np.ndarray) -> dict[str, tuple[int, int]]:
    """Choose pixels to ask about: the innermost of the object, and the farthest from it.

    Args:
        mask: bool, `(H, W)`.

    Returns:
        (row, column) by name; ``object`` is missing where the mask is empty, ``background`` where
        it is full.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[5:8, 5:8] = True
    >>> choose_points(mask)
    {'object': (6, 6), 'background': (0, 0)}
    """
    points = {}
    if mask.any():
        # Padding makes background of what is beyond the border.
        points["object"] = _argmax(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1])
    if not mask.all():
        points["background"] = _argmax(distance_transform_edt(~mask) if mask.any() else ~mask)
    return points


def _argmax(values: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(values.argmax(), values.shape)
    return int(row), int(column)
