"""Fusions by short name and by class path, from files and flags, today's and former ones."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_modules.main import main
from lightning_modules.runs.settings import flatten
from mutualformer.fusions.spelling import by_class_path

TINY = Path(__file__).parents[1] / "tiny.yaml"
FUSION = "--model.network.fusion"
CONCAT = "mutualformer.fusions.Concat"

# What 0.1.0 wrote of every fusion before each had its own options.
FORMER = {
    **{"name": "concat", "num_heads": 2, "epsilon": 0.6, "num_iterations": 1},
    **{"initial_affinity": "identity", "affinity": "softmax", "attention_dropout": 0.0},
    **{"variant": "paper", "mlp_ratio": 2.0, "qkv_bias": True, "kernel_size": 1},
    **{"dropout": 0.0, "drop_path": 0.0, "backend": "auto"},
}

USERS = """
from mutualformer.fusions import Fusion

class Mean(Fusion):
    def __init__(self, dim: int, weight: float = 0.5) -> None:
        super().__init__()
        self.weight = weight

    def fuse(self, tokens_rgb, tokens_depth, spatial_size):
        return self.weight * tokens_rgb + (1 - self.weight) * tokens_depth

class Needy(Mean):
    def __init__(self, dim: int, strength: int) -> None:
        super().__init__(dim)

class NoFusion:
    pass
"""


def overlay(folder: Path, name: str, fusion: Any) -> str:
    path = folder / f"{name}.yaml"
    content = {"model": {"network": {"init_args": {"fusion": fusion}}}}
    path.write_text(yaml.safe_dump(content))
    return str(path)


def resolve(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Return the short name and the options of the fusion."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as error:
        main(["fit", "--config", str(TINY), *arguments, "--print_config"])
    output = capsys.readouterr()
    assert error.value.code == 0, output.err
    assert "discard" not in output.err.lower()
    prefix = "model.network.fusion."
    settings = flatten(yaml.safe_load(output.out))
    return {x.removeprefix(prefix): settings[x] for x in settings if x.startswith(prefix)}


def refuse(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    run = folder / "run"
    with pytest.raises(SystemExit) as error:
        main(["fit", "--config", str(TINY), f"--trainer.default_root_dir={run}", *arguments])
    assert error.value.code == 2
    assert not run.exists()
    (line,) = (x for x in capsys.readouterr().err.splitlines() if x.startswith("error: "))
    return line


@pytest.mark.parametrize(
    "flags",
    [
        [f"{FUSION}.name=concat"],
        [f"{FUSION}.name", "concat"],
        [f"{FUSION}=concat"],
        [f"{FUSION}={CONCAT}"],
        [f"{FUSION}.class_path={CONCAT}"],
        [f"{FUSION}", "{name: concat, num_heads: 2}"],
        ["--model.network.init_args.fusion.name=concat"],
    ],
)
def test_every_way_of_naming_a_fusion(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fusion = resolve(capsys, *flags, f"{FUSION}.mlp_ratio=3")
    assert (fusion["name"], fusion["num_heads"], fusion["mlp_ratio"]) == ("concat", 2, 3)
    assert "epsilon" not in fusion
    assert resolve(capsys, f"{FUSION}.mlp_ratio=3", *flags) == fusion, "in either order"


@pytest.mark.parametrize(
    "value",
    [
        "concat",
        {"name": "concat", "mlp_ratio": 2.0},
        {"class_path": CONCAT, "init_args": {"mlp_ratio": 2.0}},
        FORMER,
    ],
)
def test_every_spelling_in_a_file(
    value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = overlay(tmp_path, "fusion", value)
    fusion = resolve(capsys, "--config", file, f"{FUSION}.dropout=0.2")
    assert (fusion["name"], fusion["num_heads"], fusion["dropout"]) == ("concat", 2, 0.2)
    assert set(fusion) - {"name"} == {
        *("num_heads", "mlp_ratio", "qkv_bias", "kernel_size", "dropout", "drop_path")
    }


def test_options_without_a_name_are_of_the_fusion_that_is_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resolve(capsys, f"{FUSION}.epsilon=0.3")["epsilon"] == 0.3
    files = [
        overlay(tmp_path, "one", {"name": "sum", "num_heads": 4}),
        overlay(tmp_path, "two", {"num_heads": 1, "dropout": 0.1}),
    ]
    fusion = resolve(capsys, *(word for file in files for word in ("--config", file)))
    assert (fusion["name"], fusion["num_heads"], fusion["dropout"]) == ("sum", 1, 0.1)


def test_a_later_name_drops_what_its_class_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = overlay(tmp_path, "base", {"name": "mutualformer", "epsilon": 0.3, "kernel_size": 3})
    fusion = resolve(capsys, "--config", base, f"{FUSION}.name=concat")
    assert (fusion["name"], fusion["kernel_size"]) == ("concat", 3)
    other = overlay(tmp_path, "other", {"name": "rgb"})
    assert resolve(capsys, "--config", base, "--config", other)["name"] == "rgb"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            [f"{FUSION}.epsilon=0.3", f"{FUSION}.name=concat"],
            "fusion: concat has no option epsilon, expected some of num_heads, mlp_ratio",
        ),
        (
            [f"{FUSION}.name=sum", f"{FUSION}.kernel_size=3"],
            "fusion: sum has no option kernel_size",
        ),
        ([f"{FUSION}.epsilom=0.3"], "fusion: mutualformer has no option epsilom"),
        ([f"{FUSION}.name=mean"], "fusion is mean, expected one of mutualformer, concat,"),
        (
            [f"{FUSION}=nowhere.Mine"],
            "fusion is nowhere.Mine, which cannot be imported (Mod",
        ),
        (
            [f"{FUSION}=torch.nn.Mine"],
            "fusion is torch.nn.Mine, which cannot be imported (Attr",
        ),
        ([f"{FUSION}=torch.nn.Linear"], "fusion is torch.nn.Linear, expected one of"),
        ([f"{FUSION}=math.sqrt"], "fusion is math.sqrt, expected one of mutualformer"),
    ],
)
def test_mistakes_on_the_command_line_are_one_message(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refuse(capsys, tmp_path, *flags)
    assert words in message
    assert message.count(": ") >= 2, "it says what to do"


def test_mistakes_in_a_file_are_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = overlay(tmp_path, "fusion", {"name": "concat", "epsilon": 0.3})
    assert "fusion: concat has no option epsilon" in refuse(capsys, tmp_path, "--config", file)
    file = overlay(tmp_path, "fusion", {**FORMER, "more": 1})
    assert "concat has no option affinity, att" in refuse(capsys, tmp_path, "--config", file)
    file = overlay(tmp_path, "sum", {"name": "sum"})
    options = overlay(tmp_path, "options", {"epsilon": 0.3})
    message = refuse(capsys, tmp_path, "--config", file, "--config", options)
    assert "fusion: sum has no option epsilon" in message
    message = refuse(capsys, tmp_path, f"{FUSION}.epsilon=0.3", "--config", file)
    assert "fusion: sum has no option epsilon" in message, "typed before the file that names it"


def test_a_fusion_outside_the_repository_trains_and_its_mistakes_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_fusions.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)
    mine = f"{FUSION}=users_fusions.Mean"
    run = tmp_path / "run"
    options = ["--config", str(TINY), f"--trainer.default_root_dir={run}", mine]
    with pytest.raises(SystemExit, match="2"):  # of tiny.yaml, whose fusion is another
        main(["fit", *options, f"{FUSION}.epsilon=0.3"])
    assert "fusion: users_fusions.Mean has no option epsilon, expected some of weight" in (
        capsys.readouterr().err
    )
    assert main(["fit", *options, f"{FUSION}.weight=0.25"]) == 0
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    config = json.loads((run / "results.json").read_text())["config"]
    assert flatten(config)["model.network.fusion.weight"] == 0.25
    assert flatten(config)["model.network.fusion.class_path"] == "users_fusions.Mean"
    needy = f"{FUSION}=users_fusions.Needy"
    message = refuse(capsys, tmp_path / "needy", needy)
    assert "users_fusions.Needy lacks strength, expected a value: give" in message
    message = refuse(capsys, tmp_path / "none", f"{FUSION}=users_fusions.NoFusion")
    assert "fusion is users_fusions.NoFusion, expected one of" in message


def test_one_name_for_one_setting_whoever_wrote_it() -> None:
    today = {"fusion": by_class_path(FORMER)}
    assert flatten({"fusion": FORMER}) == flatten(today)
    assert flatten(today)["fusion.name"] == "concat"
    assert "fusion.epsilon" not in flatten(today)
    others = {"logger": {"name": "logs", "save_dir": "runs"}, "name": "sum"}
    assert flatten(others) == {"logger.name": "logs", "logger.save_dir": "runs", "name": "sum"}


def test_settings_of_a_run_are_read_without_torch() -> None:
    program = (
        "import sys; from lightning_modules.runs.settings import flatten\n"
        "flatten({'fusion': {'name': 'concat'}}); assert 'torch' not in sys.modules"
    )
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_what_is_typed_keeps_its_type_below_any_number_of_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.yaml"
    weights.write_text("model: {network: {init_args: {encoder_weights: imagenet}}}")
    flags = ["--model.network.encoder_weights=null", "--model.network.fusion_strides", "[8, 32]"]
    with pytest.raises(SystemExit, match="0"):
        main(["fit", "--config", str(TINY), "--config", str(weights), *flags, "--print_config"])
    settings = flatten(yaml.safe_load(capsys.readouterr().out))
    assert settings["model.network.encoder_weights"] is None
    assert settings["model.network.fusion_strides"] == [8, 32]


@pytest.mark.parametrize("value", [None, 3, [1], {"name": 3}, {"name": "sum", "init_args": [1]}])
@pytest.mark.parametrize("key", ["fusion", "init_args"])
def test_settings_that_make_no_sense_are_flattened_all_the_same(key: str, value: Any) -> None:
    assert isinstance(flatten({"class_path": "mutualformer.fusions.Sum", key: value}), dict)
