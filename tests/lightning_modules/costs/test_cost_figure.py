"""The plot of scores over costs."""

import json
import re
from pathlib import Path

import pytest
from made_up_costs import made_up
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from lightning_modules.costs.measure_all import Measured
from lightning_modules.report.cost_figure import draw_costs
from lightning_modules.runs.run_folder import RunFolder


def measured(folder: Path, label: str, flops: int, scores: list[dict[str, float]]) -> Measured:
    """Return a configuration with as many runs as there are scores by data set."""
    runs = []
    for seed, of_datasets in enumerate(scores):
        runs.append(RunFolder(folder / f"{label},{seed}"))
        runs[-1].path.mkdir()
        content = {
            "scores": {name: {"s_measure": x, "mae": 0.5} for name, x in of_datasets.items()},
            "num_images": dict.fromkeys(of_datasets, 1),
            "protocol": "by hand",
        }
        if of_datasets:
            runs[-1].results.write_text(json.dumps(content))
    return Measured(label, made_up(forward_flops=flops), tuple(runs))


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """Collect what is drawn."""
    found: list[Axes] = []
    original = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **o: (found.extend(self.axes), original(self, *a, **o))
    )
    return found


def test_points_are_means_and_bars_deviations(tmp_path: Path, axes: list[Axes]) -> None:
    configurations = [
        measured(tmp_path, "cmx", 2_000_000_000, [{"SET": 0.8}, {"SET": 0.6}]),
        measured(tmp_path, "sum", 1_000_000_000, [{"SET": 0.5}, {}]),
        measured(tmp_path, "new", 1_000_000_000, [{}]),
        Measured("experiment", made_up(), ()),
    ]
    content, without = draw_costs(configurations, "gflops", ".svg")
    assert without == [str(tmp_path / "sum,1"), str(tmp_path / "new,0")]
    (panel,) = axes
    points = [line.get_xydata().tolist() for line in panel.lines if line.get_marker() in "os"]
    assert points == [[pytest.approx([2.0, 0.7])], [pytest.approx([1.0, 0.5])]]
    (bars,) = (x.get_segments() for x in panel.collections)
    assert bars[0][:, 1].tolist() == pytest.approx([0.7 - 0.02**0.5, 0.7 + 0.02**0.5])
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("GFLOPs per image", "S ↑")
    assert panel.get_xscale() == "linear"
    assert re.findall(b"<!-- (cmx|sum|new|experiment) -->", content) == [b"cmx", b"sum"]
    assert b"<!-- Mean of up to 2 seeds; bars: \xc2\xb1 1 standard deviation. -->" in content


def test_a_panel_per_data_set_and_decades_on_a_logarithmic_axis(
    tmp_path: Path, axes: list[Axes]
) -> None:
    configurations = [
        measured(tmp_path, "small", 1_000_000, [{"A": 0.1, "B": 0.2, "C": 0.3, "D": 0.4}]),
        measured(tmp_path, "large", 1_000_000_000, [{"A": 0.1, "B": 0.2}]),
    ]
    content, without = draw_costs(configurations, "gflops", ".png")
    assert content.startswith(b"\x89PNG") and not without
    shown = [panel for panel in axes if panel.get_visible()]
    assert [panel.get_title() for panel in shown] == ["A", "B", "C", "D"]
    assert [panel.get_xscale() for panel in shown] == ["log", "log", "linear", "linear"]


def test_labels_cover_neither_each_other_nor_the_edge(tmp_path: Path, axes: list[Axes]) -> None:
    configurations = [
        measured(tmp_path, f"configuration {i}", 1_000_000_000 + 10_000_000 * i, [{"SET": 0.5}])
        for i in range(6)
    ]
    draw_costs(configurations, "gflops", ".png")

    axes[0].get_figure().draw_without_rendering()  # at the size that boxes are told for
    boxes = [Text.get_window_extent(text) for text in axes[0].texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    edge = axes[0].get_figure().bbox
    assert all(edge.x0 < box.x0 and box.x1 < edge.x1 for box in boxes)
