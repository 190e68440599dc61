"""Plots of scores over a varied parameter."""

import io
import itertools
import math
import xml.etree.ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.main import main
from lightning_modules.report.figure_style import style
from lightning_modules.report.table_figure import add_legend, axis_positions, draw_figure
from lightning_modules.tables.build_table import build_table
from lightning_modules.tables.table_file import read_table_file


@pytest.fixture
def iterations(sweep_table: Path, write_run) -> Path:
    """Return a table over T = 1, 2 and inf, from two initial affinities, all but one run made."""
    sweep = sweep_table.parent / "sweep.yaml"
    sweep.write_text(
        sweep.read_text()
        .replace("epsilon: {values: [0.0, 0.6]}", "num_iterations: {values: [1, 2, inf]}")
        .replace(
            "  seed_everything",
            "  model.network.fusion.initial_affinity: {values: [identity, $x$]}\n  seed_everything",
        )
    )
    sweep_table.write_text("title: T\nsweep: sweep.yaml\nplot: num_iterations\n")
    for index, row in enumerate(read_table_file(sweep_table).rows[:-1]):
        for run in row.runs:
            write_run(run.folder, noise={"SET": 170 - 10 * index}, seed=run.seed)
    return sweep_table


def test_infinity_stands_at_the_right_end() -> None:
    assert axis_positions([math.inf, 1, 2, 4, 8]) == [4, 0, 1, 2, 3]
    assert axis_positions(["inf", 0, 2]) == [4, 0, 2]
    assert axis_positions([0.0, 0.95]) == [0.0, 0.95]
    assert axis_positions(["sum", "rgb", "sum"]) == [0, 1, 0]
    assert axis_positions([[8, 16], "x"]) == [0, 1]
    assert axis_positions([math.inf]) == [1]


def test_png_and_svg_are_drawn(iterations: Path) -> None:
    png, svg = iterations.parent / "plot.png", iterations.parent / "plot.svg"
    assert main(["table", str(iterations), "--plot", str(png), "--plot", str(svg)]) == 0
    with Image.open(png) as image:
        colours = {tuple(colour) for colour in np.array(image.convert("RGB")).reshape(-1, 3)}
        assert image.width > image.height
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours
    assert xml.etree.ElementTree.parse(svg).getroot().tag.endswith("svg")


def test_what_is_drawn_is_what_the_table_says(
    iterations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    monkeypatch.setattr(
        Figure, "savefig", lambda self, file, **_: figures.append(self) or file.write(b"x")
    )
    file = read_table_file(iterations)
    table = build_table(file, 100)
    assert draw_figure(file, table, ".png") == b"x"
    panels = figures[0].axes
    assert [panel.get_ylabel() for panel in panels] == ["S ↑", "max F ↑", "max E ↑", "MAE ↓"]
    assert panels[0].get_xlabel() == "T (num_iterations)"
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["1", "2", "∞"]
    legend = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert legend == ["initial_affinity = identity", "initial_affinity = $x$"]
    for column, panel in enumerate(panels):
        bars = panel.containers
        assert len(bars) == 2
        identity, other = (bar.lines[0].get_ydata() for bar in bars)
        values = [row.cells[column].value for row in table.rows]
        assert list(identity) == values[::2]
        assert list(other) == values[1:-1:2], "the run that is missing has no point"
        lengths = [
            (segment[1][1] - segment[0][1]) / 2 for segment in bars[0].lines[2][0].get_segments()
        ]
        assert lengths == pytest.approx([row.cells[column].std for row in table.rows[::2]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: T\nsweep: sweep.yaml\n", "has no plot: NAME"),
        ("title: T\nsweep: sweep.yaml\nplot: epsilon\n", "no run has results yet"),
    ],
)
def test_nothing_to_plot_is_said(
    sweep_table: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    sweep_table.write_text(text)
    plot = sweep_table.parent / "plot.png"
    with pytest.raises(SystemExit) as error:
        main(["table", str(sweep_table), "--plot", str(plot)])
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not plot.exists()


def test_data_sets_have_their_own_panels(sweep_table: Path, write_run) -> None:
    for run in read_table_file(sweep_table).rows[0].runs:
        write_run(run.folder, noise={"A": 120, "_$b$": 150}, seed=run.seed)
    file = read_table_file(sweep_table)
    content = draw_figure(file, build_table(file, 100), ".png")
    with Image.open(io.BytesIO(content)) as image:
        assert image.height > 900


def test_a_legend_is_no_wider_than_its_figure_and_leaves_the_panels_their_height() -> None:
    from matplotlib.figure import Figure

    for width, num_names, length in itertools.product((2.5, 5.0, 7.9), (1, 2, 8), (4, 30, 90)):
        figure = Figure(figsize=(width, 4.0), layout="constrained")
        panel = figure.subplots()
        words = "cross_attention,modality_dropout=0.3," * 3
        names = [f"{number}{words[:length]}" for number in range(num_names)]
        add_legend(figure, names, 3)
        (legend,) = figure.legends
        assert ["".join(x.get_text().split()) for x in legend.get_texts()] == names
        assert legend.get_window_extent().width <= figure.bbox.width, (width, num_names, length)
        figure.draw_without_rendering()
        box = panel.get_window_extent()
        assert box.height > 2.5 * figure.dpi, (width, num_names, length)
        assert box.y1 <= legend.get_window_extent().y0 + 1


def test_no_two_lines_of_a_figure_look_alike() -> None:
    looks = [(style(number)["color"], style(number)["marker"]) for number in range(49)]
    assert len(set(looks)) == 49
    assert len({colour for colour, _ in looks[:7]}) == len({shape for _, shape in looks[:7]}) == 7
