"""Predictions of several runs for the same images, side by side, with their errors."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightning_modules.base_module import BaseModule
from lightning_modules.report.affinity_figure import short, show_image
from lightning_modules.report.figure_style import PALE_INK
from mutualformer.errors import UserError
from mutualformer.ignored_label import IGNORED

_TILE = 1.15  # inches
_PREDICTION = "Prediction"
_TRUTHS = ("Mask", "Label", "Ground truth")


@dataclass(frozen=True, eq=False)
class PredictedScene:
    """What a run makes of an image.

    Attributes:
        name: of the image.
        size: original height and width.
        inputs: what the network reads, `(H, W, 1 or 3)` in [0, 1] by heading.
        prediction: the same shape.
        truth: heading and picture of the ground truth, if there is one.
        error: where the prediction differs from it, `(H, W)` in [0, 1].
    """

    name: str
    size: tuple[int, int]
    inputs: Mapping[str, np.ndarray]
    prediction: np.ndarray
    truth: tuple[str, np.ndarray] | None
    error: np.ndarray | None


def look_at_prediction(
    module: BaseModule, batch: Mapping[str, Any], outputs: Any, index: int
) -> PredictedScene:
    """Return what a module shows of an image of a batch; see `look_at_first`."""
    pictures = {
        heading: maps[index].float().permute(1, 2, 0).cpu().numpy()
        for heading, maps in module.pictures(batch, outputs).items()
    }
    prediction = pictures.pop(_PREDICTION, None)
    if prediction is None:
        raise UserError(f"{type(module).__name__} shows no prediction, expected a task of images")
    heading = next((x for x in _TRUTHS if x in pictures), None)
    truth = None if heading is None else (heading, pictures.pop(heading))
    error = None
    if truth is not None:
        error = np.abs(prediction - truth[1]).max(-1)
        if "label" in batch:  # classes, right or wrong; and pixels that do not count
            label = batch["label"][index].cpu().numpy()
            error = ((error > 0) & (label != IGNORED)).astype(np.float32)
    size = batch["original_size"][index]
    return PredictedScene(batch["name"][index], size, pictures, prediction, truth, error)


def draw_fusions(runs: Mapping[str, Sequence[PredictedScene]], suffix: str) -> bytes:
    """Draw a line per image: inputs, ground truth, then of each run its prediction and its error.

    Args:
        runs: the same images of every run, by what it is called.
        suffix: ``.png`` or ``.svg``.

    Raises:
        UserError: the images of two runs are not the same.
    """
    # Not pyplot, which keeps figures.
    from matplotlib.figure import Figure

    scenes = [*zip(*_same_images(runs), strict=True)]
    inputs = list(dict.fromkeys(x for of_run in scenes[0] for x in of_run.inputs))
    truth = scenes[0][0].truth
    headings = [*inputs, *([truth[0]] if truth else [])]
    for name in runs:
        headings += [name, "error"] if truth else [name]
    ratio = min(max(of_runs[0].size[0] / of_runs[0].size[1] for of_runs in scenes), 1.5)
    figure = Figure(
        figsize=(len(headings) * _TILE + 0.3, len(scenes) * (_TILE * ratio + 0.18) + 0.5)
    )
    figure.set_layout_engine("constrained", h_pad=0.02, w_pad=0.02, hspace=0.0, wspace=0.0)
    grid = figure.subplots(len(scenes), len(headings), squeeze=False)
    for of_runs, row in zip(scenes, grid, strict=True):
        _draw_line(row, of_runs, inputs)
    for axes, heading in zip(grid[0], headings, strict=True):
        axes.set_title(heading.replace(", ", "\n"), fontsize=8, parse_math=False)
    if truth:
        figure.supxlabel(
            "Error: where prediction and ground truth differ, and the mean of it over the image.",
            fontsize=8,
            color=PALE_INK,
        )
    file = io.BytesIO()
    figure.savefig(file, format=suffix.removeprefix("."), dpi=100)
    return file.getvalue()


def _same_images(
    runs: Mapping[str, Sequence[PredictedScene]],
) -> list[Sequence[PredictedScene]]:
    (first, expected), *others = runs.items()
    for name, scenes in others:
        for here, there in zip(scenes, expected, strict=True):
            other_truth = (
                here.truth is not None
                and there.truth is not None
                and here.truth[1].shape == there.truth[1].shape
                and not np.array_equal(here.truth[1], there.truth[1])
            )
            if here.name != there.name or here.size != there.size or other_truth:
                raise UserError(
                    f"{name} shows {here.name}, and {first} {there.name}, of other data, expected "
                    "runs with the same test data: give --data.root=, or other runs"
                )
    return [*runs.values()]


def _draw_line(row: Any, of_runs: Sequence[PredictedScene], inputs: Sequence[str]) -> None:
    first = of_runs[0]
    panels = iter(row)
    for heading in inputs:
        show_image(next(panels), *_sized(_input(of_runs, heading), first))
    if first.truth:
        show_image(next(panels), *_sized(first.truth[1], first))
    for scene in of_runs:
        show_image(next(panels), *_sized(scene.prediction, scene))
        if scene.error is not None:
            axes = next(panels)
            show_image(axes, *_sized(scene.error, scene))
            axes.set_xlabel(f"{scene.error.mean():.3f}", fontsize=7, color=PALE_INK, labelpad=2)
    row[0].set_ylabel(short(first.name), fontsize=7, parse_math=False)


def _input(of_runs: Sequence[PredictedScene], heading: str) -> np.ndarray:
    return next(scene.inputs[heading] for scene in of_runs if heading in scene.inputs)


def _sized(image: np.ndarray, scene: PredictedScene) -> tuple[np.ndarray, float]:
    """Return a picture with the aspect of a pixel that makes it as wide as the original."""
    height, width = image.shape[:2]
    return image, (scene.size[0] / height) / (scene.size[1] / width)
