"""Before a run has results, a table shows the scores that it will have, and refuses the others."""

from pathlib import Path

import pytest

from .table_runs import rows_of, table, trial

MODULES = {
    "saliency": "",
    "segmentation": "model: {class_path: lightning_modules.SegmentationModule}",
    "short": "model: SegmentationModule",
    "probe": "model: {class_path: lightning_modules.ProbeModule}",
    "user": "model: {class_path: task_of_user.Depth}",
    "elsewhere": "model: {class_path: not_here.Depth}",
}
OF_USER = """
from lightning_modules.runs.score import Score
class Depth:
    scores = [Score("rmse", "RMSE", higher_is_better=False, high=None, main=True)]
"""


@pytest.fixture
def planned(
    sweep_table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Path:
    """Return the definition of a table without runs."""
    monkeypatch.chdir(sweep_table.parent)
    monkeypatch.syspath_prepend(sweep_table.parent)
    Path("task_of_user.py").write_text(OF_USER)
    return sweep_table


def configure(path: Path, module: str, metrics: str) -> None:
    Path("base.yaml").write_text(MODULES[module] or "seed_everything: 0")
    path.write_text(f"{path.read_text()}\nmetrics: {metrics}\n" if metrics else path.read_text())


@pytest.mark.parametrize(
    ("module", "metrics", "headings"),
    [
        ("segmentation", "[miou, iou_pipe]", ["mIoU ↑", "iou_pipe"]),
        ("short", "[iou_pipe, miou]", ["iou_pipe", "mIoU ↑"]),
        ("segmentation", "", ["mIoU ↑", "mAcc ↑", "PixAcc ↑", "fwIoU ↑"]),
        ("probe", "", ["Accuracy ↑"]),
        ("probe", "[accuracy]", ["Accuracy ↑"]),
        ("user", "", ["RMSE ↓"]),
        ("user", "[rmse, delta_1]", ["RMSE ↓", "delta_1"]),
        ("elsewhere", "[rmse]", ["rmse"]),
        ("saliency", "[mae]", ["MAE ↓"]),
    ],
)
def test_planned_rows_have_the_headings_of_their_task(
    planned: Path,
    module: str,
    metrics: str,
    headings: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(planned, module, metrics)
    assert table(planned, "--format", "markdown") == 0
    lines = capsys.readouterr().out.replace("\\_", "_").splitlines()
    found = next(line for line in lines if "epsilon |" in line)
    shown = [text.strip().rpartition("<br>")[2] for text in found.strip("|").split("|")]
    assert shown[1:] == headings
    note = [line for line in lines if "is known with the first one" in line]
    unknown = [heading for heading in headings if heading[-1] not in "↑↓"]
    assert len(note) == bool(unknown) and all(name in note[0] for name in unknown)


@pytest.mark.parametrize(
    ("module", "metrics", "name"),
    [
        ("saliency", "[s_measure, iou_pipe]", "iou_pipe"),
        ("saliency", "[s_mesure]", "s_mesure"),
        ("segmentation", "[miou, miuo]", "miuo"),
        ("segmentation", "[s_measure]", "s_measure"),
        ("probe", "[acuracy]", "acuracy"),
    ],
)
def test_a_score_that_no_run_can_have_is_refused_before_there_is_one(
    planned: Path, module: str, metrics: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(planned, module, metrics)
    with pytest.raises(SystemExit) as error:
        table(planned)
    assert error.value.code == 2
    assert f"unknown score {name!r} in metrics, expected " in capsys.readouterr().err


def test_a_name_that_results_do_not_have_is_refused_as_soon_as_there_are_some(
    planned: Path, write_run, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(planned, "segmentation", "[miou, iou_pipe]")
    results = {
        "scores": {"SET": {"miou": 0.5, "iou_pipes": 0.25}},
        "score_descriptions": [
            {"name": "miou", "heading": "mIoU", "main": True},
            {"name": "iou_pipes", "heading": "IoU pipes"},
        ],
    }
    write_run(trial(planned, "0.6", 0), **results)
    with pytest.raises(SystemExit) as error:
        table(planned)
    assert error.value.code == 2
    shown = capsys.readouterr().err
    assert "unknown score 'iou_pipe' in metrics, expected miou, iou_pipes" in shown
    planned.write_text(planned.read_text().replace("iou_pipe]", "iou_pipes]"))
    rows = rows_of(planned)
    assert "0.25" in [row["value"] for row in rows if row["metric"] == "iou_pipes"]


def test_rows_of_a_list_name_their_task_in_their_command(
    planned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = "mutualformer fit --model.class_path lightning_modules.SegmentationModule"
    planned.write_text(
        "title: T\nmetrics: [iou_pipe]\nrows:\n"
        f"  - {{name: A, seeds: [0], folder: 'r/{{seed}}', command: '{command}'}}\n"
    )
    assert table(planned) == 0
    assert "iou_pipe" in capsys.readouterr().out
    planned.write_text(planned.read_text().replace("SegmentationModule", "SaliencyModule"))
    with pytest.raises(SystemExit):
        table(planned)
    assert "unknown score 'iou_pipe'" in capsys.readouterr().err
