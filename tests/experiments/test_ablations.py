"""Every shipped sweep file runs here as well as with `wandb sweep` and `wandb agent`."""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_modules.cli.trial import parse_parameters
from lightning_modules.main import main
from lightning_modules.sweep.sweep_file import read_sweep
from lightning_modules.sweep.trial_name import trial_name
from tests.support.made_pairs import write_pairs

REPOSITORY = Path(__file__).resolve().parents[2]
ABLATIONS = sorted((REPOSITORY / "experiments" / "ablations").glob("*.yaml"))
FEWER = {
    **{"fusion_matched": ["mutualformer", "gated_sum"], "fusion_tuned": ["sum"]},
    **dict.fromkeys(("pipes_depth", "pipes_dropout"), ["sum"]),
    **dict.fromkeys(("pipes", "potholes", "seg_pipes"), ["mutualformer", "depth"]),
}
each_file = pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)


def test_there_is_one_for_every_choice_in_the_fusion() -> None:
    assert [path.stem for path in ABLATIONS] == [
        *("affinity", "epsilon", "feed_back", "fusion", "fusion_matched", "fusion_tuned"),
        *("initial_affinity", "modality_dropout", "num_iterations", "pipes", "pipes_depth"),
        *("pipes_dropout", "potholes", "quick", "seg_fusion", "seg_pipes", "seg_quick", "stages"),
    ]


def test_the_comparisons_of_fusions_have_the_same_ones() -> None:
    named = {
        path.stem: read_sweep(path).axes["model.network.fusion.name"]
        for path in ABLATIONS
        if path.stem.startswith("fusion")
    }
    assert named["fusion_tuned"] == named["fusion"]
    for name in ("pipes", "potholes", "seg_fusion", "seg_pipes"):
        sweep = read_sweep(ABLATIONS[0].with_name(f"{name}.yaml"))
        assert set(sweep.axes["model.network.fusion.name"]) == set(named["fusion"])
    assert named["fusion_matched"] == [x for x in named["fusion"] if x != "view_mixed"]


@each_file
def test_says_what_it_shows_and_what_it_costs(path: Path) -> None:
    header = path.read_text().split("\nname:")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    file = f"experiments/ablations/{path.name}"
    assert f"mutualformer sweep {file}\n" in header
    assert f"wandb sweep {file}" in header
    match = re.search(r"Cost(?: \(estimate\))?: (\d+) trainings", header)
    sweep = read_sweep(path)
    assert match is not None
    assert int(match[1]) == len(sweep.trials)
    five = dict.fromkeys(("pipes", "pipes_depth", "pipes_dropout", "potholes"), 5)
    num_seeds = {"quick": 2, "seg_quick": 2, **five}.get(path.stem, 3)
    assert sweep.axes["seed_everything"] == [*range(num_seeds)]
    assert sweep.folder == Path("runs/ablations") / path.stem
    assert sweep.description


@pytest.mark.slow
@each_file
def test_every_trial_can_be_run(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "experiments").symlink_to(REPOSITORY / "experiments")
    write_pairs(tmp_path / "data" / "rendered", ("train/rendered", "test/rendered"))
    sets = [f"{split}/{name}" for split in ("train", "test") for name in ("pipes", "potholes")]
    for root in ("data", "data/blank", "data/unrelated"):
        write_pairs(tmp_path / root, sets)
    _write_classes(write_pairs(tmp_path, ["pipes"]) / "pipes")
    monkeypatch.chdir(tmp_path)
    if path.stem in FEWER:  # networks are built to look at them; the others are in fusion.yaml
        content = yaml.safe_load(path.read_text())
        content["parameters"]["model.network.fusion.name"]["values"] = FEWER[path.stem]
        path = tmp_path / path.name
        path.write_text(yaml.safe_dump(content))
    assert main(["sweep", str(path), "--dry-run"]) == 0
    trials = read_sweep(path).trials
    assert capsys.readouterr().out.count("mutualformer trial") == len(trials)
    assert len({trial.folder for trial in trials}) == len(trials)


def _write_classes(folder: Path) -> None:
    """Make classes of a data set's masks, and lists of it."""
    for path in (folder / "GT").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255).save(path)
    (folder / "train.txt").write_text("0\n1\n")
    (folder / "val.txt").write_text("2\n")


@each_file
def test_the_agent_of_wandb_starts_the_same_trials(path: Path) -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils", reason="wandb is not installed")
    content = utils.load_sweep_config(str(path))
    # A server may reorder parameters.
    for trial in read_sweep(path).trials:
        given = {name: {"value": x} for name, x in reversed(trial.parameters.items())}
        variables = utils.create_sweep_command_args({"args": given})
        variables["env"] = ["/usr/bin/env"]
        words: list[str] = []
        for word in utils.create_sweep_command(list(content["command"])):
            name = re.fullmatch(r"\$\{(.*)\}", word)
            words += variables[name[1]] if name else [word]
        assert words[:3] == ["/usr/bin/env", "mutualformer", "trial"]
        parameters = parse_parameters([word for word in words[3:] if "=" in word])
        assert parameters == trial.parameters
        assert Path(words[words.index("--folder") + 1]) / trial_name(parameters) == trial.folder


@each_file
def test_holds_what_the_server_of_wandb_knows_of_a_grid(path: Path) -> None:
    """By W&B's reference of sweep configurations; its schema is asked below where it is there."""
    content = yaml.safe_load(path.read_text())
    assert content.keys() == {
        *("name", "description", "program", "method", "metric", "parameters", "command")
    }
    assert content["method"] == "grid"
    assert content["metric"].keys() == {"name", "goal"}
    assert content["metric"]["goal"] in ("maximize", "minimize")
    for name, parameter in content["parameters"].items():
        assert parameter.keys() == {"values"}, name
        assert isinstance(parameter["values"], list) and parameter["values"], name
        for value in parameter["values"]:
            assert isinstance(value, int | float | str | list), name
    assert all(isinstance(word, str) for word in content["command"])
    assert content["command"][0] == "${env}" and content["command"][-1] == "${args}"


def test_all_fit_the_schema_of_wandb() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = _schema_of_wandb()
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    for path in ABLATIONS:
        errors = validator.iter_errors(yaml.safe_load(path.read_text()))
        assert [error.message for error in errors] == [], path
    assert list(validator.iter_errors({"method": "grid", "parameters": {"a": {"vaules": [1]}}}))


def _schema_of_wandb() -> dict[str, Any]:
    # The package itself needs numpy < 2; its schema does not.
    try:
        files = metadata.files("sweeps") or []
    except metadata.PackageNotFoundError:
        pytest.skip("W&B's schema is not installed: pip install --no-deps sweeps")
    path = next(Path(str(file.locate())) for file in files if file.name == "schema.json")
    return json.loads(path.read_text())
