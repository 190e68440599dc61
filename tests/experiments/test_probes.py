"""The shipped probes train, are scored, and can be swept."""

import json
from pathlib import Path

import pytest

from lightning_modules.main import main
from lightning_modules.sweep.sweep_file import read_sweep

PROBES = Path(__file__).resolve().parents[2] / "experiments" / "probes"
CONFIG = f"--config={PROBES / 'probe.yaml'}"


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["mutualformer", "cross_attention"])
def test_metric_space_survives_a_gap_and_feature_space_does_not(
    fusion: str, tmp_path: Path
) -> None:
    # One region alone per label and a fifth of the steps: seconds, and enough to tell them apart.
    easy = ["--data.num_train=4096", "--data.num_test=100", "--model.optimizer.lr=0.003"]
    words = [CONFIG, *easy, f"--model.network.fusion.name={fusion}", "--data.num_chains=3"]
    folder = f"--trainer.default_root_dir={tmp_path}"
    assert main(["fit", *words, folder, "--test_after_fit=true"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    accuracy = results["scores"]["probe"]["accuracy"]
    assert accuracy > 0.9 if fusion == "mutualformer" else accuracy < 0.8
    assert results["config"]["data"]["init_args"]["num_chains"] == 3


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--data.gap=2", "gap is 2.0, expected a number in [0, 1]"),
        ("--data.no_such_knob=1", "no_such_knob"),
        ("--data.num_labels=3", "num_labels of the model and of the data must be the same"),
        ("--model.num_labels=3", "expected by lightning_modules.probe_module.ProbeModule"),
    ],
)
def test_a_knob_that_does_not_fit_is_one_message(
    option: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", CONFIG, option, f"--trainer.default_root_dir={tmp_path / 'run'}"])
    assert caught.value.code == 2
    assert words in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_quick_sweep_can_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROBES.parents[1])
    path = PROBES / "quick.yaml"
    assert main(["sweep", str(path), "--folder", str(tmp_path), "--dry-run"]) == 0
    trials = read_sweep(path).trials
    assert capsys.readouterr().out.count("mutualformer trial") == len(trials) == 8
    assert f"mutualformer sweep experiments/probes/{path.name}" in path.read_text()
