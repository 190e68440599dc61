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


COMMAND = ["mutualformer", "trial", "--folder", "a", "--config", str(CONFIG), "${args}"]
ROW = {"name": "Ours", "seeds": [0], "folder": "a", "command": "true"}


@pytest.mark.parametrize(
    ("command", "content", "where"),
    [
        ("fit --config", {"trainer": {"default_root_dir": "?/a"}}, "trainer.default_root_dir is ?"),
        ("fit --config", {"data": {"init_args": {"roots": ["?/a"]}}}, "data.init_args.roots is ?"),
        (
            "sweep",
            {"command": [*COMMAND[:3], "?", *COMMAND[4:]], "parameters": {"a": {"value": 1}}},
            "--folder of command is ?",
        ),
        (
            "sweep",
            {"command": [*COMMAND[:5], "?/a", "${args}"], "parameters": {"a": {"value": 1}}},
            "--config of command is ?",
        ),
        (
            "sweep",
            {"command": COMMAND, "parameters": {"data.root": {"values": ["?/a", "b"]}}},
            "--data.root is ?",
        ),
        ("table", {"rows": [ROW | {"folder": "?/a"}]}, "folder is ?"),
        ("table", {"rows": [{"published": "?/a.csv", "source": "x"}]}, "published is ?"),
        ("table", {"sweep": "?/a.yaml"}, "sweep is ?"),
        ("table", {"sweep": "/"}, "sweep is /, but there is no file /"),
    ],
)
@pytest.mark.parametrize("path", ["$NO_SUCH_VARIABLE", "~nobody_of_this_name"])
def test_a_path_in_a_file_is_refused_by_the_file_and_the_setting(
    command: str,
    content: dict[str, object],
    where: str,
    path: str,
    home: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kind = {"sweep": {"method": "grid"}, "table": {"title": "A", "metrics": ["mae"]}}
    text = yaml.safe_dump(kind.get(command, {}) | content).replace("?", path)
    (home / "mine.yaml").write_text(text)
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), str(home / "mine.yaml")])
    assert caught.value.code == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {home / 'mine.yaml'}: ")
    assert where.replace("?", path) in error


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--config=?"],
        ["fit", f"--config={CONFIG}", "--trainer.default_root_dir=?"],
        ["fit", f"--config={CONFIG}", "--model.network.encoder_weights=?.pth"],
        ["fit", f"--config={CONFIG}", "--model.init_from=?"],
        ["test", f"--config={CONFIG}", "--ckpt_path=?"],
        ["trial", "--folder=?", f"--config={CONFIG}", "--a=1"],
        ["evaluate", "--predictions=?", "--ground-truth=x"],
        ["robustness", "?"],
        ["table", "?"],
    ],
)
def test_a_name_that_is_too_long_is_refused(
    words: list[str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([word.replace("?", "a" * 300) for word in words])
    assert caught.value.code == 2
    assert " characters): File name too long, expected" in capfd.readouterr().err
