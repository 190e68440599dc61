"""What tokens attend to across the modalities, step by step: a strip, or an animation."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from lightning_modules.base_module import BaseModule
from lightning_modules.report.affinity_figure import (
    choose_points,
    ring,
    short,
    show_affinities,
    show_image,
)
from lightning_modules.report.figure_style import PALE_INK
from lightning_modules.report.second_modality import as_heading, second_modality
from mutualformer.network.attention_recorder import AttentionRecorder
from mutualformer.ops.cross_diffusion.options import CrossDiffusionOptions, NumIterations

_TILE = 1.25  # inches
_MILLISECONDS = 900
_ON_REGIONS = " Colours and outlines: regions; black: holes; dots: labels."
_DPI = {".png": 110, ".gif": 90, ".svg": 100}


@dataclass(frozen=True, eq=False)
class AffinitySteps:
    """An image with what some of its tokens attend to after several numbers of steps.

    Attributes:
        name: of the image.
        size: original height and width.
        rgb: `(H, W, 3)` in [0, 1].
        second: `(H, W, 1 or 3)` in [0, 1], the second modality.
        modality: what that is called.
        points: for each of K tokens, its name and a pixel (row, column) in it.
        stride: side of a token in pixels.
        options: of the attention.
        maps: by T, `(2, K, h, w)`: rows of S_rd^(T) and S_dr^(T) on the grid of tokens.
        within: `(2, K, h, w)`, rows of S_r and S_d, to be shown too; or None.
        regions: `(2, h, w)`, of the tokens of RGB and of the second modality, to be outlined; or
            None.
        dots: tokens (row, column) of the second modality to be marked.
    """

    name: str
    size: tuple[int, int]
    rgb: np.ndarray
    second: np.ndarray
    modality: str
    points: Mapping[str, tuple[int, int]]
    stride: int
    options: CrossDiffusionOptions
    maps: Mapping[int | str, np.ndarray]
    within: np.ndarray | None = None
    regions: np.ndarray | None = None
    dots: Sequence[tuple[int, int]] = ()


class AffinityLook:
    """Look at what tokens of an image attend to, after each of several numbers of steps.

    Args:
        network: whose cross-diffusion attention it is.
        stride: of the fusion; None for the smallest.
        steps: T from 0 to this, and the limit.
        number: of the image, from 1; others are passed over.

    Raises:
        UserError: the network has no cross-diffusion attention at this stride.
    """

    def __init__(self, network: nn.Module, stride: int | None, steps: int, number: int) -> None:
        self._recorder = AttentionRecorder(network, stride)
        self._steps: list[NumIterations] = [*range(steps + 1), "inf"]
        self._before = number

    def __call__(
        self, module: BaseModule, batch: Mapping[str, Any], outputs: Any, index: int
    ) -> AffinitySteps | None:
        """Return what is seen of the image that is wanted; see `look_at_first`."""
        self._before -= 1
        if self._before:
            return None
        region = module.regions(batch)
        predicted = module.pictures(batch, outputs).get("Prediction")
        if region is None and predicted is not None and predicted.shape[1] == 1:
            region = predicted[:, 0] > 0.5
        height, width = batch["rgb"].shape[-2:]
        points = {"centre": (height // 2, width // 2)}
        if region is not None:
            points = choose_points(region[index].cpu().numpy())
        recorder, pixels = self._recorder, [*points.values()]
        return AffinitySteps(
            name=batch["name"][index],
            size=batch["original_size"][index],
            rgb=batch["rgb"][index].permute(1, 2, 0).float().cpu().numpy(),
            second=batch["depth"][index].permute(1, 2, 0).float().cpu().numpy(),
            modality=second_modality(module.trainer),
            points=points,
            stride=recorder.stride,
            options=recorder.attention.options,
            maps={x: recorder.affinities(index, pixels, x)[2:].numpy() for x in self._steps},
        )


def draw_affinity_steps(found: AffinitySteps, suffix: str) -> bytes:
    """Draw the steps side by side as ``.png`` or ``.svg``, or one after the other as ``.gif``."""
    if suffix != ".gif":
        return _draw(found, [*found.maps], suffix)
    files = [io.BytesIO(_draw(found, [step], suffix)) for step in found.maps]
    drawn = [Image.open(file, formats=["PNG"]).convert("RGB") for file in files]
    # One palette, without dither: what stays as it is takes no room in the file.
    palette = drawn[-1].quantize()
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in drawn]
    file = io.BytesIO()
    times = [_MILLISECONDS] * (len(frames) - 1) + [2 * _MILLISECONDS]
    frames[0].save(
        file, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0
    )
    return file.getvalue()


def _draw(found: AffinitySteps, steps: Sequence[int | str], suffix: str) -> bytes:
    # Not pyplot, which keeps figures.
    from matplotlib.figure import Figure

    height, width = found.rgb.shape[:2]
    aspect = (found.size[0] / height) / (found.size[1] / width)
    ratio = min(found.size[0] / found.size[1], 1.5)
    # A line per token and direction; in an animation, both directions beside each other.
    directions = [(0, 1)] if len(steps) == 1 else [(0,), (1,)]
    lines = [
        (name, [(side, step) for side in sides for step in steps])
        for name in found.points
        for sides in directions
    ]
    num_within = 0 if found.within is None else 2
    num_columns = 2 + num_within + len(lines[0][1])
    figure = Figure(
        figsize=(num_columns * _TILE + 0.3, len(lines) * (_TILE * ratio + 0.22) + 0.6),
        dpi=_DPI[suffix],
    )
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
    grid = figure.subplots(len(lines), num_columns, squeeze=False)
    for number, ((name, shown), row) in enumerate(zip(lines, grid, strict=True)):
        for axes, image in zip(row, (found.rgb, found.second), strict=False):
            show_image(axes, image, aspect)
        for y, x in found.dots:
            row[1].plot(x, y, ".", color="white", markersize=4)
        point = [*found.points].index(name)
        for side, axes in enumerate(row[2 : 2 + num_within]):
            assert found.within is not None
            show_affinities(axes, found.within[side, point], found.stride, (height, width), aspect)
            _outline(axes, found, side)
            if number == 0:
                axes.set_title(f"$S_{'rd'[side]}$", fontsize=8, pad=3)
        for axes, (side, step) in zip(row[2 + num_within :], shown, strict=True):
            values = found.maps[step][side, point]
            show_affinities(axes, values, found.stride, (height, width), aspect)
            _outline(axes, found, 1 - side)  # columns are tokens of the other modality
            if number == 0 or len(steps) > 1:
                _head(axes, side, step)
        for axes in row:
            ring(axes, found.points[name], found.stride)
        row[0].set_ylabel(f"{short(found.name)}\n{name} token", fontsize=7, parse_math=False)
    for axes, heading in zip(grid[0], ("RGB", as_heading(found.modality)), strict=False):
        axes.set_title(heading, fontsize=8)
    figure.supxlabel(_caption(found), fontsize=7, color=PALE_INK)
    file = io.BytesIO()
    figure.savefig(file, format="svg" if suffix == ".svg" else "png")
    return file.getvalue()


def _head(axes: Any, side: int, step: int | str) -> None:
    symbol = ("rd", "dr")[side]
    power = r"\infty" if step == "inf" else step
    axes.set_title(rf"$S_{{{symbol}}}^{{({power})}}$", fontsize=8, pad=3)


def _outline(axes: Any, found: AffinitySteps, side: int) -> None:
    """Draw the borders between regions, where they are known."""
    if found.regions is None:
        return
    own = found.regions[side]
    looks = {"colors": "white", "linewidth": 0.5, "alpha": 0.7}
    y, x = np.nonzero(own[:, 1:] != own[:, :-1])
    axes.vlines(x + 0.5, y - 0.5, y + 0.5, **looks)
    y, x = np.nonzero(own[1:] != own[:-1])
    axes.hlines(y + 0.5, x - 0.5, x + 0.5, **looks)


def _caption(found: AffinitySteps) -> str:
    grid = next(iter(found.maps.values())).shape[-2:]
    return (
        f"$S_{{rd}}$: RGB reads {found.modality}; $S_{{dr}}$: {found.modality} reads RGB. Stride "
        f"{found.stride} ({grid[0]} × {grid[1]} tokens), ε = {found.options.epsilon:g}, from "
        f"{found.options.initial_affinity}.\nEach map has its own scale, written below it: from "
        "dark to bright, in multiples of 1/N." + ("" if found.regions is None else _ON_REGIONS)
    )
