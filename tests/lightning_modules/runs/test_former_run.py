"""A trial that commit 4cbdbba made is read as what it was.

`former_run/` holds its results, resolved configuration and typed settings. With its checkpoint,
which is too large to keep, the same command continues it.
"""

import shutil
from pathlib import Path

import pytest
import yaml
from resolved_settings import resolved_settings

from lightning_modules.main import main
from lightning_modules.runs.checkpoints import checkpoint_to_continue
from lightning_modules.runs.results import read_results
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.sweep.trial_settings import check_settings, read_settings
from lightning_modules.sweep.trial_state import TrialState, read_state

FORMER = Path(__file__).parent / "former_run"
TINY = Path(__file__).parents[1] / "tiny.yaml"
PARAMETERS = {
    "model.network.fusion.epsilon": 0.6,
    "model.network.encoder_name": "tu-test_efficientnet",
    "seed_everything": 1,
}
ARGUMENTS = [f"--{name}={value}" for name, value in PARAMETERS.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    name = "encoder_name=tu-test_efficientnet,epsilon=0.6,seed_everything=1"
    return Path(shutil.copytree(FORMER, tmp_path / "runs" / name))


def test_its_scores_are_those_of_saliency(folder: Path) -> None:
    results = read_results(RunFolder(folder).results)
    assert results.descriptions == SALIENCY_SCORES
    assert set(results.scores["synthetic"]) == {score.name for score in SALIENCY_SCORES}
    assert read_state(folder) is TrialState.DONE


def test_its_settings_are_those_of_the_same_command(folder: Path) -> None:
    check_settings(folder, read_settings([TINY], PARAMETERS))
    (folder / "checkpoints").mkdir()
    RunFolder(folder).last_checkpoint.touch()
    # Its own saved configuration is no other one either.
    for config in (["--config", str(TINY), *ARGUMENTS], ["--config", str(folder / "config.yaml")]):
        last = checkpoint_to_continue(folder, resolved_settings(*config), "auto")
        assert last == RunFolder(folder).last_checkpoint


def test_a_sweep_keeps_it_and_a_table_shows_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = {
        "method": "grid",
        "parameters": {name: {"value": value} for name, value in PARAMETERS.items()},
        "command": ["mutualformer", "trial", "--folder", str(folder.parent)]
        + ["--config", str(TINY), "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    assert main(["sweep", str(tmp_path / "sweep.yaml")]) == 0
    assert "1 trials: 1 done" in capsys.readouterr().out
    (tmp_path / "table.yaml").write_text("title: Former\nsweep: sweep.yaml\n")
    assert main(["table", str(tmp_path / "table.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "max F ↑" in printed and "MAE ↓" in printed and ".368" in printed
    assert "otherwise" not in printed
