"""The folder is whole or not there, the same bytes each time, and what the data module reads."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("pybullet", reason="needs pip install 'mutualformer[render]'")

from datamodules import RGBDSaliencyDataModule  # noqa: E402
from datamodules.check import check_root  # noqa: E402
from datamodules.rendering import write_scenes as module  # noqa: E402
from datamodules.rendering.settings import RenderSettings  # noqa: E402
from datamodules.rendering.write_scenes import write_scenes  # noqa: E402
from mutualformer.errors import UserError  # noqa: E402

COUNTS = {"train": 3, "test": 2}
SETTINGS = RenderSettings(image_size=(48, 64))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "rendered"
    assert write_scenes(folder, COUNTS, SETTINGS)
    return folder


def test_says_what_it_is(rendered):
    assert len(contents(rendered)) == 3 * 5 + 1
    said = json.loads((rendered / "scenes.json").read_bytes())
    assert said["image_size"] == [48, 64] and said["num_test"] == 2 and said["pybullet"]
    assert [path.name for path in rendered.parent.iterdir()] == ["rendered"]


def test_same_bytes_with_workers_and_after_an_interruption(rendered, tmp_path, monkeypatch):
    write = module._write_scene

    def interrupted(folder, settings, scene):
        if scene == ("test", 0):
            (folder / "test" / "rendered" / "GT").mkdir(parents=True)
            raise KeyboardInterrupt
        write(folder, settings, scene)

    monkeypatch.setattr(module, "_write_scene", interrupted)
    folder = tmp_path / "rendered"
    with pytest.raises(KeyboardInterrupt):
        write_scenes(folder, COUNTS, SETTINGS)
    assert not folder.exists()
    monkeypatch.undo()
    # One picture of a scene is missing, and another was being written.
    partial = tmp_path / ".rendered.partial"
    (partial / "train/rendered/depth/train_00001.png").unlink()
    (partial / "train/rendered/RGB/.0.tmp").write_bytes(b"half")
    with pytest.raises(UserError, match="seed 0, expected 1"):
        write_scenes(folder, COUNTS, RenderSettings(image_size=(48, 64), seed=1))
    assert write_scenes(folder, COUNTS, SETTINGS, num_workers=1)
    assert contents(folder) == contents(rendered)
    assert not partial.exists()


def test_done_is_done_and_nothing_is_overwritten(rendered, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(rendered, folder)
    assert not write_scenes(folder, COUNTS, SETTINGS)
    with pytest.raises(UserError, match="num_test 2, expected 4"):
        write_scenes(folder, {"train": 3, "test": 4}, SETTINGS)
    with pytest.raises(UserError, match=r"image_size \[48, 64\], expected \[64, 64\]"):
        write_scenes(folder, COUNTS, RenderSettings(image_size=64))
    (folder / "test/rendered/GT/test_00001.png").unlink()
    with pytest.raises(UserError, match="test_00001.png: it was rendered and is gone"):
        write_scenes(folder, COUNTS, SETTINGS)
    (folder / "scenes.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        write_scenes(folder, COUNTS, SETTINGS)


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"precious")
    (tmp_path / "file").write_bytes(b"precious")
    for name in ("photos", "file"):
        with pytest.raises(UserError, match="something else than rendered scenes"):
            write_scenes(tmp_path / name, COUNTS, SETTINGS)
    assert set(contents(tmp_path).values()) == {b"precious"}


def test_two_at_once_are_refused(tmp_path, monkeypatch):
    def again(folder, *_):
        with pytest.raises(UserError, match="another process"):
            write_scenes(tmp_path / "rendered", COUNTS, SETTINGS)
        raise InterruptedError

    monkeypatch.setattr(module, "_write_scene", again)
    with pytest.raises(InterruptedError):
        write_scenes(tmp_path / "rendered", COUNTS, SETTINGS)


def test_a_killed_rendering_leaves_no_worker_that_keeps_it_locked(tmp_path):
    counts, settings = {"train": 16, "test": 1}, RenderSettings(image_size=32)
    program = (
        "import pathlib; from datamodules.rendering.write_scenes import *\n"
        f"folder = pathlib.Path({str(tmp_path / 'rendered')!r})\n"
        f"write_scenes(folder, {counts}, RenderSettings(image_size=32), num_workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    while process.poll() is None and not list(tmp_path.rglob("*.png")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() in (-signal.SIGKILL, 0)
    for attempt in range(100):
        try:
            write_scenes(tmp_path / "rendered", counts, settings)
            break
        except UserError:
            assert attempt < 99
            time.sleep(0.1)
    assert len(contents(tmp_path / "rendered")) == 3 * 17 + 1


def test_an_empty_folder_is_filled(tmp_path):
    assert write_scenes(tmp_path, {"train": 1, "test": 1}, SETTINGS)
    assert len(contents(tmp_path)) == 7


def test_data_check_finds_nothing_wrong(rendered):
    report = check_root(rendered)
    assert [each.dataset.label for each in report.datasets] == ["test/rendered", "train/rendered"]
    assert not report.findings


def test_the_experiment_reads_it(rendered):
    path = Path(__file__).parents[3] / "experiments" / "rendered_cpu.yaml"
    options = yaml.safe_load(path.read_text())["data"]["init_args"]
    options |= {"root": str(rendered), "batch_size": 2, "image_size": [48, 64]}
    data = RGBDSaliencyDataModule(**options)
    data.setup("fit")
    data.setup("test")
    batch = next(iter(data.train_dataloader()))
    assert batch["rgb"].shape == (2, 3, 48, 64)
    # Near is 1: the lower half of the ground is nearer.
    top, bottom = batch["depth"][:, 0].split(24, dim=1)
    assert bottom[bottom > 0].mean() > top[top > 0].mean() + 0.1
    assert set(torch.unique(batch["mask"]).tolist()) == {0.0, 1.0}
    assert len(data.test_datasets[0]) == 2 and data.test_datasets[0][0]["dataset"] == "rendered"
