"""Experiments, sweeps and tables of the package are found from any folder; what is here wins."""

from pathlib import Path

import pytest
import yaml

from lightning_modules.cli.short_names import find_configurations
from lightning_modules.main import main
from lightning_modules.runs.shipped import SHIPPED, find_shipped


@pytest.mark.parametrize(
    ("typed", "folder", "found"),
    [
        ("synthetic_cpu", "", "synthetic_cpu.yaml"),
        ("synthetic_cpu.yaml", "", "synthetic_cpu.yaml"),
        ("experiments/synthetic_cpu.yaml", "", "synthetic_cpu.yaml"),
        ("overlays/quick", "", "overlays/quick.yaml"),
        ("probes/quick", "ablations", "probes/quick.yaml"),
        ("quick", "ablations", "ablations/quick.yaml"),
        ("potholes", "", "potholes.yaml"),
        ("potholes", "tables", "tables/potholes.yaml"),
        ("experiments/potholes.yaml", "tables", "potholes.yaml"),
        ("table1_rgbd_sod.csv", "tables", "tables/table1_rgbd_sod.csv"),
    ],
)
def test_by_name(typed, folder, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(Path(typed), folder) == SHIPPED / found
    here = tmp_path / typed
    here.parent.mkdir(exist_ok=True)
    here.touch()
    assert find_shipped(Path(typed), folder) == Path(typed)


@pytest.mark.parametrize("typed", ["nothing", "../experiments/smoke", "", "x" * 5000, "a\0b"])
def test_what_is_nowhere_stays_as_it_was(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(Path(typed), "ablations") == Path(typed)


def test_only_configurations_are_written_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "fit",
        "--config",
        "rgbt_sod",
        "-c=overlays/cpu",
        "--trainer.default_root_dir",
        "quick",
    ]
    words += ["--config={a: //b}", "--config", "./mine.yaml"]
    expected = [*words]
    expected[2] = str(SHIPPED / "rgbt_sod.yaml")
    expected[3] = f"-c={SHIPPED / 'overlays' / 'cpu.yaml'}"
    assert find_configurations(words) == expected


def test_every_command_takes_a_name_from_another_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "quick", "--dry-run", "--config", "synthetic_cpu"]) == 0
    assert capsys.readouterr().out.count("mutualformer trial") == 12
    assert main(["sweep", "experiments/ablations/quick.yaml", "--status"]) == 0
    assert main(["table", "probe_gap", "--format", "markdown"]) == 0
    assert "80 of 80 runs" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["fit", "--config", "synthetic_cpu", "--config", "overlays/quick", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_epochs"] == 2
    assert list(tmp_path.iterdir()) == []
