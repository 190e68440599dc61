"""Pages of help, and how soon what needs no torch is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lightning_modules.cli.training_help import brief_help
from lightning_modules.main import main
from lightning_modules.runs.settings import flatten

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["fit", "--help"], 0),
        (["predict", "-h"], 0),
        (["evaluate", "--help"], 0),
        (["compare", "--help"], 0),
        (["cost", "--help"], 0),
        (["robustness", "--help"], 0),
        (["sweep", "--help"], 0),
        (["trial", "--help"], 0),
        (["export", "--help"], 0),
        (["demo", "--help"], 0),
        (["draw", "--help"], 0),
        (["draw", "affinities", "--help"], 0),
    ],
)
def test_help_does_not_wait_for_torch(arguments: list[str], code: int) -> None:
    program = (
        "import sys; from lightning_modules.main import main\n"
        f"try: code = main({arguments!r})\nexcept SystemExit as e: code = e.code\n"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    assert "mutualformer" in result.stdout


EXPERIMENTS = CONFIG.parents[2] / "experiments"


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "list"],
        ["table", str(EXPERIMENTS / "tables" / "table1_rgbd_sod.yaml")],
        ["sweep", str(EXPERIMENTS / "ablations" / "quick.yaml"), "--status"],
    ],
)
def test_what_needs_no_torch_does_not_wait_for_it(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "import sys; from lightning_modules.main import main\n"
        f"code = main({arguments!r}); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    path = os.pathsep.join([str(CONFIG.parents[2]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_option_on_the_page_of_help_exists(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = re.findall(r"^  (--[a-z_.]+) (\S+)", brief_help(command), flags=re.MULTILINE)
    values = {"N": "1", "X": "0.5", "T": "2", "FOLDER": str(tmp_path), "auto|never": "never"}
    given = [f"{option}={values[value]}" for option, value in options if value in values]
    assert len(given) > 5
    with pytest.raises(SystemExit, match="0"):
        main([command, "--config", str(CONFIG), *given, "--print_config"])
    shown = yaml.safe_load(capsys.readouterr().out)
    assert flatten(shown)["model.network.fusion.num_iterations"] == 2


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--data.help", "datamodules.SyntheticRGBDDataModule"], "num_train"),
        (["--model.network.help", "mutualformer.MutualFormerNetwork"], "decoder_dim"),
        (["--model.network.fusion.help", "mutualformer.fusions.Concat"], "kernel_size"),
        (["--help_all"], "trainer.gradient_clip_val"),
    ],
)
def test_the_settings_of_a_class_are_listed(
    words: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["fit", *words])
    assert option in capsys.readouterr().out


def test_an_unknown_command_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    known = "fit, validate, test, predict, export, demo, data, evaluate, compare, cost, "
    assert f"{known}robustness, draw, sweep, trial, table" in capsys.readouterr().err
