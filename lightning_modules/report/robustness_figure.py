"""Scores over the severity of corruptions, as a figure."""

import io
import math
from collections.abc import Sequence

from datamodules.augmentation.corruption import Corruption
from lightning_modules.report.figure_style import INK
from lightning_modules.report.table_figure import add_caption, add_legend, draw_line
from lightning_modules.robustness.measure_runs import CLEAN, Robustness
from lightning_modules.robustness.table import cell_of, datasets_of, main_score

_PANEL_SIZE = (2.5, 2.2)  # inches
_MOST_COLUMNS = 3


def draw_robustness(
    measured: Sequence[Robustness], corruptions: Sequence[Corruption], suffix: str
) -> bytes:
    """Draw the main score over the severity, a panel per corruption, a line per configuration.

    Severity 0 is the clean images. Each test set begins a new row of panels. Bars are the sample
    standard deviation over the runs of a configuration.

    Args:
        measured: configurations with their scores.
        corruptions: that were measured.
        suffix: ``.png`` or ``.svg``.
    """
    # Not pyplot, which keeps figures.
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    main, datasets = main_score(measured), datasets_of(measured)
    kinds: dict[str, list[Corruption]] = {}
    for corruption in corruptions:
        kinds.setdefault(f"{corruption.modality}: {corruption.kind}", []).append(corruption)
    num_columns = min(len(kinds), _MOST_COLUMNS)
    rows_each = math.ceil(len(kinds) / num_columns)
    num_rows = rows_each * len(datasets)
    with rc_context({"text.parse_math": False, "font.size": 9, "text.color": INK}):
        size = (_PANEL_SIZE[0] * num_columns + 0.4, _PANEL_SIZE[1] * num_rows + 0.7)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
        panels = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=True)
        for panel in panels.flat:
            panel.set_visible(False)
        for number, dataset in enumerate(datasets):
            own = panels[number * rows_each : (number + 1) * rows_each].flat
            for position, ((kind, of_kind), panel) in enumerate(
                zip(kinds.items(), own, strict=False)
            ):
                panel.set_visible(True)
                steps = [(0.0, CLEAN), *((x.severity, str(x)) for x in of_kind)]
                for line, one in enumerate(measured):
                    points = [
                        (severity, cell_of(one, key, dataset, main.name), False)
                        for severity, key in sorted(steps)
                    ]
                    draw_line(panel, points, line)
                panel.set_title(f"{dataset}, {kind}" if len(datasets) > 1 else kind, fontsize=9)
                if position + num_columns >= len(kinds):
                    panel.set_xlabel("severity")
                    panel.tick_params(labelbottom=True)
                if position % num_columns == 0:
                    panel.set_ylabel(main.titled)
                panel.grid(axis="y", alpha=0.25, linewidth=0.6)
                panel.spines[["top", "right"]].set_visible(False)
        add_legend(figure, [one.label for one in measured], num_columns)
        caption = f"Data set: {datasets[0]}." if len(datasets) == 1 else ""
        if (most := max(len(one.runs) for one in measured)) > 1:
            caption += f" Mean of up to {most} seeds; bars: ± 1 standard deviation."
        add_caption(figure, caption.strip())
        content = io.BytesIO()
        figure.savefig(content, format=suffix.removeprefix("."), dpi=200)
    return content.getvalue()
