"""Rooms that serve every task ask the tasks that are listed, and know none by name."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import ask, page_of, pixels, write_export, write_pair
from PIL import Image

from lightning_modules.demo.exported_model import ExportedModel
from lightning_modules.main import main
from lightning_modules.runs.score import check_scores
from lightning_modules.saliency_module import SaliencyModule
from lightning_modules.tables.build_table import build_table
from lightning_modules.tables.table_file import read_table_file
from lightning_modules.tasks import TASKS
from mutualformer import MutualFormerNetwork

from ..toy_task import DepthModule
from .depth_task import Depth

ROOT = Path(__file__).parents[3]


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """List a third task, as `lightning_modules/tasks/__init__.py` would."""
    monkeypatch.setitem(TASKS, "depth", Depth())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write depth maps, and predictions that are 0.2 off in half of their pixels."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine/depth", "maps"):
        Path(name).mkdir(parents=True)
    for index in range(3):
        depth = np.full((4, 6), 40 + index, np.uint8)
        Image.fromarray(depth).save(f"mine/depth/{index}.png")
        depth[:2] += 51
        Image.fromarray(depth).save(f"maps/{index}.png")
    return tmp_path


def evaluate(*words: str) -> int:
    return main(["evaluate", "--predictions=maps", "--ground-truth=mine/depth", *words])


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        evaluate(*words)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_tasks_agree_on_what_they_share() -> None:
    scores = [score for task in TASKS.values() for score in task.scores]
    check_scores("TASKS", scores)
    for task in TASKS.values():
        for other in TASKS.values():
            for flag in task.options.keys() & other.options.keys():
                assert task.options[flag] == other.options[flag]


def test_evaluate_scores_files_of_a_third_task(
    third: None, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--task=depth", "--output=out.json", "--per-image=images.csv") == 0
    scores = json.loads(Path("out.json").read_text())["scores"]["depth"]
    assert scores["depth_error"] == pytest.approx(0.1)
    assert scores["worst_depth_error"] == pytest.approx(0.2)
    assert "AbsErr" in capsys.readouterr().out
    assert Path("worst.txt").read_text() == "0"
    assert Path("images.csv").read_text().count(",depth\n") == 3


def test_options_of_another_task_are_refused_and_shared_ones_are_not(
    third: None, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("--curves=a.png", "--label-map=nyu40", "--device=cuda"):
        flag = word.partition("=")[0]
        expected = f"{flag} is given, which --task depth has not: leave it out"
        assert expected in refused(capsys, "--task=depth", word)
    assert "--farthest is given, which --task saliency has not" in refused(capsys, "--farthest=9")
    assert "invalid choice: 'flow' (choose from" in refused(capsys, "--task=flow")
    assert evaluate("--task=depth", "--workers=1") == 0


def test_the_help_of_evaluate_tells_of_it(third: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "depth depth maps of 8 bits against such" in text
    assert "mutualformer evaluate --task depth --predictions maps" in text
    assert "of saliency and depth: processes" in text and "of depth: values above" in text


def published(folder: Path, lines: str, more: str = "") -> list[str]:
    """Return the headings of a table of published scores."""
    (folder / "p.csv").write_text(f"method,dataset,metric,value\n{lines}")
    path = folder / "table.yaml"
    path.write_text(f"title: T\n{more}datasets: [SET]\nrows: [{{published: p.csv, source: Us}}]\n")
    return [score.heading for _, score in build_table(read_table_file(path), 100).columns]


def test_published_scores_of_a_third_task_stand_in_tables(third: None, tmp_path: Path) -> None:
    lines = "A,SET,depth_error,.1\nA,SET,worst_depth_error,.3\n"
    assert published(tmp_path, lines) == ["AbsErr"]
    assert published(tmp_path, lines, "metrics: [worst_depth_error]\n") == ["Worst"]


def test_a_published_table_has_the_main_scores_of_its_task(tmp_path: Path) -> None:
    assert published(tmp_path, "A,SET,miou,.5\n") == ["mIoU", "mAcc", "PixAcc", "fwIoU"]
    assert published(tmp_path, "A,SET,mae,.1\n") == ["S", "max F", "max E", "MAE"]


def test_the_demo_shows_a_third_task(third: None, tmp_path: Path) -> None:
    folder = write_export(tmp_path / "export")
    assert isinstance(ExportedModel(folder).module, SaliencyModule)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metres": 10}))
    model = ExportedModel(folder)
    assert isinstance(model.module, DepthModule)
    page = page_of(model).get("/").get_data(as_text=True)
    assert "Depth of RGB and depth" in page and 'class="wide"' not in page
    shown = ask(model, write_pair(tmp_path / "pair")).get_json()
    file, picture = pixels(shown["file"]), pixels(shown["pictures"]["map"])
    assert file.shape == (48, 80) and (picture == file).all()
    # It says no overlay: the prediction itself.
    assert (pixels(shown["pictures"]["overlay"]) == file).all()


def test_an_export_says_what_each_task_has_to_say(third: None, tmp_path: Path) -> None:
    network = MutualFormerNetwork.from_pretrained(write_export(tmp_path / "export", num_classes=2))
    spec = {"class_path": "mutualformer.MutualFormerNetwork", "init_args": network.settings}
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    checkpoint = {"hyper_parameters": {"network": spec}, "state_dict": state, "epoch": 1}

    def exported(name: str, **more: Any) -> dict[str, Any]:
        torch.save({**checkpoint, **more}, tmp_path / f"{name}.ckpt")
        folder = str(tmp_path / name)
        words = [f"{folder}.ckpt", f"--output={folder}", "--format=safetensors"]
        assert main(["export", *words]) == 0
        return json.loads((tmp_path / name / "config.json").read_text())

    plain = exported("plain")
    assert "label_map" not in plain and "metres" not in plain
    assert exported("depth", metres=10)["metres"] == 10
    classes = exported("classes", label_map={"classes": ["a", "b"], "offset": 1})["label_map"]
    assert (classes["classes"], classes["offset"]) == (["a", "b"], 1)
    assert "label_map" not in exported("strange", label_map="x")


@pytest.mark.parametrize(
    "room",
    ["cli/evaluate.py", "cli/export.py", "tables/build_table.py", "tables/published.py"]
    + ["demo/exported_model.py", "demo/server.py", "demo/templates/page.html"],
)
def test_a_room_for_all_tasks_names_none(room: str) -> None:
    text = (ROOT / "lightning_modules" / room).read_text()
    text = text.replace("RGBDSaliencyDataset", "").replace("rgbd_saliency_dataset", "")
    assert not re.findall("(?i)saliency|segmentation|label_map|num_classes", text)
