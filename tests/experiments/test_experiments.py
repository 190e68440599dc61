"""Every shipped experiment parses, builds its network, and says what it is for."""

from pathlib import Path

import pytest
import torch

from lightning_modules.main import main

EXPERIMENTS = sorted((Path(__file__).resolve().parents[2] / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_parses_to_the_configuration_it_states(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", "--config", str(path), "--print_config"])
    assert error.value.code == 0
    assert f"default_root_dir: runs/{path.stem}" in capsys.readouterr().out
    header = path.read_text().split("seed_everything")[0]
    assert "mutualformer fit --config" in header
    assert "Cost:" in header


def test_the_synthetic_experiment_trains_and_scores(tmp_path: Path) -> None:
    path = next(path for path in EXPERIMENTS if path.stem == "synthetic_cpu")
    shared = ["--config", str(path), "--trainer.default_root_dir", str(tmp_path / "run")]
    small = ["--data.num_train=4", "--data.num_val=2", "--data.num_test=2", "--data.batch_size=2"]
    assert main(["fit", *shared, *small, "--trainer.max_epochs=1", "--data.image_size=64"]) == 0
    assert main(["test", *shared, *small, "--data.image_size=64"]) == 0
    assert (tmp_path / "run" / "results.json").is_file()


def test_the_public_data_experiment_overfits_nothing_but_runs_on_real_pairs(
    shared: Path, tmp_path: Path
) -> None:
    path = next(path for path in EXPERIMENTS if path.stem == "rgbd_sod")
    torch.set_num_threads(1)
    options = [
        *("--config", str(path), "--trainer.default_root_dir", str(tmp_path / "run")),
        *("--data.root", str(shared / "data" / "rgbd_sod"), "--data.train_sets", "[DES,SSD]"),
        *("--data.test_sets", "[DES,SSD]", "--data.image_size=64", "--data.num_workers=0"),
        *("--data.batch_size=2", "--model.network.encoder_weights=null"),
        *("--model.network.encoder_name=resnet18", "--trainer.accelerator=cpu"),
    ]
    assert main(["fit", *options, "--trainer.max_epochs=1"]) == 0
    assert main(["test", *options]) == 0
    assert (tmp_path / "run" / "results.json").is_file()
