"""Scores of configurations over what they cost, as a figure."""

import io
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from lightning_modules.costs.columns import COST_COLUMNS
from lightning_modules.report.figure_style import INK, PALE_INK, style
from lightning_modules.runs.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lightning_modules.costs.measure_all import Measured

_PANEL_SIZE = (4.2, 3.4)  # inches
_MOST_COLUMNS = 3
# Costs that lie further apart than this stand on a logarithmic axis.
_DECADE = 10.0
# Where a label may stand, in points from its point: side and height, nearest first.
_NEAR, _POINT_RADIUS = 13, 3
_PLACES = [(x, y) for y in (5, -13, 17, -25, 29, -37, 41, -49) for x in (5, -5)]


class _Point(NamedTuple):
    label: str
    number: int
    cost: float
    score: float
    std: float


def draw_costs(measured: Sequence["Measured"], x: str, suffix: str) -> tuple[bytes, list[str]]:
    """Draw the main score of each configuration over a cost, a panel per data set.

    Points are means over the runs of a configuration, bars the sample standard deviation.

    Args:
        measured: configurations with their costs, some of them with results; the others are left
            out.
        x: name of the cost.
        suffix: ``.png`` or ``.svg``.

    Returns:
        The image, and the folders of runs without results.
    """
    # Not pyplot, which keeps figures.
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    column = next(column for column in COST_COLUMNS if column.name == x)
    results = [[run.finished_results() for run in one.runs] for one in measured]
    without = [
        str(run.path)
        for one, of_one in zip(measured, results, strict=True)
        for run, found in zip(one.runs, of_one, strict=True)
        if found is None
    ]
    tested = [[found for found in of_one if found is not None] for of_one in results]
    everything = [found for of_one in tested for found in of_one]
    main = next(
        (score for score in everything[0].descriptions if score.main),
        everything[0].descriptions[0],
    )
    datasets = list(dict.fromkeys(name for found in everything for name in found.scores))
    num_columns = min(len(datasets), _MOST_COLUMNS)
    num_rows = math.ceil(len(datasets) / num_columns)
    with rc_context({"text.parse_math": False, "font.size": 9, "text.color": INK}):
        size = (_PANEL_SIZE[0] * num_columns + 0.6, _PANEL_SIZE[1] * num_rows + 0.4)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
        panels = [*figure.subplots(num_rows, num_columns, squeeze=False).flat]
        drawn = []
        for panel, dataset in zip(panels, datasets, strict=False):
            points = []
            for number, (one, of_one) in enumerate(zip(measured, tested, strict=True)):
                scores = _scores(of_one, dataset, main.name)
                if scores:
                    deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
                    mean = statistics.fmean(scores)
                    points.append(
                        _Point(one.label, number, column.value(one.cost), mean, deviation)
                    )
            _draw_points(panel, points)
            panel.set_title(dataset, fontsize=9)
            panel.set_xlabel(column.title)
            panel.set_ylabel(main.titled)
            drawn.append((panel, points))
        for panel in panels[len(datasets) :]:
            panel.set_visible(False)
        if seeds := max(map(len, tested)) - 1:
            fewer = "up to " * (min(len(found) for found in tested if found) <= seeds)
            caption = f"Mean of {fewer}{seeds + 1} seeds; bars: ± 1 standard deviation."
            figure.supxlabel(caption, fontsize=8, color=PALE_INK)
        figure.draw_without_rendering()  # labels look for room in the final layout
        for panel, points in drawn:
            _place_labels(figure, panel, points)
        content = io.BytesIO()
        figure.savefig(content, format=suffix.removeprefix("."), dpi=200)
    return content.getvalue(), without


def _scores(results: Sequence[Results], dataset: str, name: str) -> list[float]:
    values = [found.scores.get(dataset, {}).get(name) for found in results]
    return [value for value in values if value is not None]


def _draw_points(panel: "Axes", points: Sequence[_Point]) -> None:
    for point in points:
        panel.errorbar(
            [point.cost],
            [point.score],
            yerr=[point.std] if point.std else None,
            linestyle="none",
            elinewidth=1.1,
            capsize=2.5,
            zorder=3,
            **style(point.number),
        )
    costs = [point.cost for point in points]
    if costs and 0 < min(costs) < max(costs) / _DECADE:
        panel.set_xscale("log")
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.16, y=0.12)


def _place_labels(figure: "Figure", panel: "Axes", points: Sequence[_Point]) -> None:
    """Write the labels beside their points, where neither a point nor a label is yet."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    taken = [panel.title.get_window_extent()]
    for point in points:
        ends = [(point.cost, point.score + sign * point.std) for sign in (-1, 1)]
        (x, low), (_, high) = panel.transData.transform(ends)
        taken.append(Bbox.from_extents(x, low, x, high).padded(_POINT_RADIUS * figure.dpi / 72))
    for point in sorted(points, key=lambda point: -point.score):
        for across, up in _PLACES:
            text = panel.annotate(
                point.label,
                (point.cost, point.score),
                (across, up),
                textcoords="offset points",
                ha="left" if across > 0 else "right",
                fontsize=7.5,
                color=style(point.number)["color"],
                # From further away, a line leads to the point.
                arrowprops={
                    "arrowstyle": "-",
                    "lw": 0.5,
                    "color": PALE_INK,
                    "shrinkA": 0,
                    "shrinkB": 3,
                }
                if abs(up) > _NEAR
                else None,
            )
            text.set_in_layout(False)
            text.get_window_extent()  # puts it in its place
            box = Text.get_window_extent(text).padded(1)  # without the line
            is_free = not any(box.overlaps(other) for other in taken)
            is_within = panel.bbox.x0 < box.x0 and box.x1 < figure.bbox.x1
            if (is_free and is_within) or (across, up) == _PLACES[-1]:
                taken.append(box)
                break
            text.remove()
