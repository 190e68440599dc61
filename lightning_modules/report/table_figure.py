"""Scores over a varied parameter, as a figure."""

import io
import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_modules.report.figure_style import INK, PALE_INK, style
from lightning_modules.tables.planned_rows import label_of
from lightning_modules.tables.table import Cell, Table
from lightning_modules.tables.table_file import TableFile
from mutualformer.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

# Lines are set apart by this part of the axis, so that error bars do not hide each other.
_DODGE = 0.016
_PANEL_SIZE = (2.5, 2.3)  # inches
_LETTERS_PER_INCH = 15  # of the caption
_LETTERS_OF_LEGEND_PER_INCH, _LETTERS_OF_A_LINE = 11, 8
_LEGEND_HEIGHT = 0.5  # inches that a figure has for it; a higher one makes the figure higher
_LINE_HEIGHT = 0.25  # inches, rather too much
_SYMBOLS = {"epsilon": "ε", "num_iterations": "T"}


def draw_figure(file: TableFile, table: Table, suffix: str) -> bytes:
    """Draw every score over the parameter that the definition names under `plot`.

    One panel per data set and score, one line per combination of the other varied parameters;
    bars are the standard deviation over seeds. An infinite value stands at the right end.

    Args:
        file: the definition; its `plot` names a varied parameter.
        table: made from it.
        suffix: `.png` or `.svg`.

    Raises:
        ValueError: no run has results yet.
    """
    # Not pyplot, which keeps figures.
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    assert file.plot is not None
    cells = [cell for row in table.rows for cell in row.cells]
    if all(cell.value is None for cell in cells):
        raise UserError(f"{file.path}: no run has results yet, so there is nothing to plot")
    values = [row.values[file.plot] for row in file.rows]
    positions = axis_positions(values)
    lines: dict[str, list[int]] = {}
    for index, row in enumerate(file.rows):
        rest = [(axis, value) for axis, value in row.values.items() if axis != file.plot]
        name = ", ".join(f"{axis} = {label_of(value)}" for axis, value in rest)
        lines.setdefault(name, []).append(index)
    span = max(positions) - min(positions) or 1.0

    num_rows = len(table.datasets)
    num_columns = len(table.columns) // num_rows
    # Names of data sets and values may hold $, which would start a formula.
    with rc_context({"text.parse_math": False, "font.size": 9, "text.color": INK}):
        size = (_PANEL_SIZE[0] * num_columns, _PANEL_SIZE[1] * num_rows + 0.6)
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.04)
        figure = Figure(figsize=size, layout=layout)
        panels = figure.subplots(num_rows, num_columns, squeeze=False).flat
        for column, panel in enumerate(panels):
            for number, rows in enumerate(lines.values()):
                offset = _DODGE * span * (number - (len(lines) - 1) / 2)
                rows = sorted(rows, key=lambda row: positions[row])
                points = [
                    (
                        positions[row] + offset,
                        table.rows[row].cells[column],
                        _is_infinite(values[row]),
                    )
                    for row in rows
                ]
                draw_line(panel, points, number)
            _label_axes(panel, table.columns[column][1].titled, file.plot, values, positions)
            if len(table.datasets) > 1:
                panel.set_title(table.columns[column][0], fontsize=9)
        if len(lines) > 1:
            add_legend(figure, list(lines), num_columns)
        add_caption(figure, _caption(table))
        content = io.BytesIO()
        figure.savefig(content, format=suffix.removeprefix("."), dpi=200)
    return content.getvalue()


def axis_positions(values: Sequence[Any]) -> list[float]:
    """Return where values stand on the axis.

    Numbers stand at their value; beside ``inf``, positive ones at their logarithm, so that counts
    such as 1, 2, 4 are evenly spaced, and ``inf`` one gap to their right. Values that are no
    numbers are evenly spaced.

    >>> axis_positions([1, 2, 4, "inf"]), axis_positions([0.0, 0.5]), axis_positions(["a", "b"])
    ([0.0, 1.0, 2.0, 3.0], [0.0, 0.5], [0.0, 1.0])
    """
    numbers = [_number(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        labels = list(dict.fromkeys(map(label_of, values)))
        return [float(labels.index(label_of(value))) for value in values]
    if all(map(math.isfinite, known)):
        return known
    if min(known) > 0:
        known = [math.log2(number) for number in known]
    finite = sorted({number for number in known if math.isfinite(number)}) or [0.0]
    gaps = [right - left for left, right in zip(finite, finite[1:], strict=False)] or [1.0]
    return [number if math.isfinite(number) else finite[-1] + max(gaps) for number in known]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or (isinstance(value, str) and value not in ("inf", ".inf")):
        return None
    if not isinstance(value, str | int | float):
        return None
    return float(str(value).removeprefix("."))


def _is_infinite(value: Any) -> bool:
    return _number(value) == math.inf


def add_legend(figure: "Figure", names: Sequence[str], most_columns: int) -> None:
    """Put a legend of lines above the panels, in as many columns as the figure is wide enough for.

    The figure grows by what a high legend would take from the panels.

    Args:
        figure: to which nothing is added later that changes its width.
        names: of the lines, in order; too long ones are broken.
        most_columns: not to be exceeded.
    """
    height = figure.get_figheight()
    letters = int(_LETTERS_OF_LEGEND_PER_INCH * figure.get_figwidth()) - _LETTERS_OF_A_LINE
    broken = [textwrap.fill(name, max(letters, 10)) for name in names]
    num_lines = sum(name.count("\n") + 1 for name in broken)
    figure.set_figheight(height + _LINE_HEIGHT * num_lines)  # room to measure it in
    counts = range(min(len(names), most_columns), 0, -1)
    for labels, num_columns in [*((names, x) for x in counts), *((broken, x) for x in counts)]:
        legend = _legend(figure, labels, num_columns)
        extent = legend.get_window_extent()
        if extent.width <= figure.bbox.width or (labels is broken and num_columns == 1):
            break
        legend.remove()
    figure.set_figheight(height + max(0.0, extent.height / figure.dpi - _LEGEND_HEIGHT))


def _legend(figure: "Figure", labels: Sequence[str], num_columns: int) -> "Legend":
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=label, linewidth=1.4, **style(number))
        for number, label in enumerate(labels)
    ]
    legend = figure.legend(
        handles=handles, loc="outside upper center", ncols=num_columns, frameon=False
    )
    figure.draw_without_rendering()
    return legend


def add_caption(figure: "Figure", text: str) -> None:
    """Put text below the panels, in lines as long as the figure is wide."""
    text = textwrap.fill(text, int(_LETTERS_PER_INCH * figure.get_figwidth()))
    figure.supxlabel(text, fontsize=8, color=PALE_INK)


def _caption(table: Table) -> str:
    cells = [cell for row in table.rows for cell in row.cells]
    parts = [f"Data set: {table.datasets[0][0]}."] if len(table.datasets) == 1 else []
    if any(cell.std is not None for cell in cells):
        seeds = max(cell.num_seeds for cell in cells)
        fewer = any(0 < cell.num_seeds < seeds for cell in cells)
        count = f"{'up to ' if fewer else ''}{seeds}"
        over_seeds = any(cell.half_width is not None for cell in cells)
        bars = "95 % interval (Student's t)" if over_seeds else "± 1 standard deviation"
        parts.append(f"Mean of {count} seeds; bars: {bars}.")
    return " ".join(parts)


def draw_line(panel: "Axes", points: Sequence[tuple[float, Cell, bool]], number: int) -> None:
    """Draw points with their spreads and a line through them.

    Args:
        panel: to draw into.
        points: position, value, and whether the position stands for infinity; in order.
        number: of the line, which decides its look.
    """
    line_style = style(number)
    known = [
        (x, cell.value, cell.spread, infinite)
        for x, cell, infinite in points
        if cell.value is not None
    ]
    if not known:
        return
    x, y, std, infinite = zip(*known, strict=True)
    panel.errorbar(
        x,
        y,
        yerr=[deviation or 0.0 for deviation in std],
        linestyle="none",
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
        **line_style,
    )
    finite = infinite.count(False)
    line = {"color": line_style["color"], "linewidth": 1.4, "zorder": 2}
    panel.plot(x[:finite], y[:finite], **line)
    # Between the last finite value and infinity there is no scale.
    panel.plot(x[max(finite - 1, 0) :], y[max(finite - 1, 0) :], linestyle=":", **line)


def _label_axes(
    panel: "Axes", score: str, axis: str, values: Sequence[Any], positions: Sequence[float]
) -> None:
    ticks = {
        position: "∞" if _is_infinite(value) else label_of(value)
        for value, position in zip(values, positions, strict=True)
    }
    panel.set_xticks(
        list(ticks), list(ticks.values()), fontsize="small" if len(ticks) > 5 else None
    )
    panel.set_xlabel(f"{_SYMBOLS[axis]} ({axis})" if axis in _SYMBOLS else axis)
    panel.set_ylabel(score)
    panel.locator_params(axis="y", nbins=5)
    panel.grid(axis="y", alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.07, y=0.1)
