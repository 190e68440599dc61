"""Whatever form of a path is typed, on a command line, in a YAML or a sweep, means one folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lightning_modules.main import main

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a home that is not the current folder, where nothing may be written."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    shutil.copy(CONFIG, home / "tiny.yaml")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RUNS", "~/runs")
    monkeypatch.chdir(here)
    yield home
    assert list(here.iterdir()) == []


@pytest.mark.slow
def test_a_run_in_ones_home_is_found_by_every_command(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    overlay = {"trainer": {"default_root_dir": "~/runs/a"}}
    (home / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    configs = ["--config=~/tiny.yaml", "--config", "~/overlay.yaml"]
    assert main(["fit", *configs, "--model.loss=bce"]) == 0
    assert (home / "runs/a/checkpoints/best.ckpt").is_file()
    assert main(["test", *configs, "--model.loss=bce"]) == 0
    root = "--trainer.default_root_dir=${HOME}/runs/a/"
    best = "--ckpt_path=$HOME/runs/a/checkpoints/best.ckpt"
    assert main(["test", "--config=$HOME/tiny.yaml", "--model.loss=bce", root, best]) == 0
    export = ["export", "~/runs/a", "--format=safetensors", "--output=~/out"]
    assert main(export) == 0
    assert (home / "out/config.json").is_file()
    capfd.readouterr()


def test_a_sweep_and_its_table_in_ones_home(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = {
        "program": "mutualformer",
        "method": "grid",
        "metric": {"name": "val/held_out/s_measure", "goal": "maximize"},
        "command": [
            *("${env}", "mutualformer", "trial", "--folder", "~/sweep"),
            *("--config", "~/tiny.yaml", "${args}"),
        ],
        "parameters": {"model.loss": {"values": ["bce"]}},
    }
    (home / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    assert main(["sweep", "~/sweep.yaml", "--status"]) == 0
    assert str(home / "sweep") in "".join(capfd.readouterr().out.split())
    assert main(["sweep", "~/sweep.yaml", "--status", "--folder=~/elsewhere"]) == 0
    assert str(home / "elsewhere") in "".join(capfd.readouterr().out.split())


@pytest.mark.parametrize(
    "words",
    [
        ["data", "check", "$NO_SUCH_VARIABLE/data"],
        ["evaluate", "--predictions=$NO_SUCH_VARIABLE", "--ground-truth=x"],
        ["table", "$NO_SUCH_VARIABLE/a.yaml"],
        ["fit", f"--config={CONFIG}", "--trainer.default_root_dir=$NO_SUCH_VARIABLE/a"],
        ["fit", f"--config={CONFIG}", "--model.network.encoder_weights=$NO_SUCH_VARIABLE/a.pth"],
    ],
)
def test_a_variable_that_is_not_set_is_refused_by_name(
    words: list[str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "there is no environment variable '$NO_SUCH_VARIABLE'" in capfd.readouterr().err
