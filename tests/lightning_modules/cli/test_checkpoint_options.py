"""Checkpoints by Lightning's own words, and of networks that were compiled."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from break_at import load
from own_parts import TwoLayers
from small_fit import SMALL, fit

from lightning_modules import SaliencyModule
from lightning_modules.main import main
from lightning_modules.runs.exported_network import build_network


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert fit(folder) == 0
    return folder


def run(command: str, folder: Path, *options: str) -> int:
    return main([command, *SMALL, f"--trainer.default_root_dir={folder}", *options])


@pytest.mark.parametrize("word", ["best", "last"])
def test_best_and_last_are_the_run_s(trained: Path, tmp_path: Path, word: str) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    for command in ("validate", "test", "predict"):
        assert run(command, folder, f"--ckpt_path={word}") == 0
    results = json.loads((folder / "results.json").read_text())
    assert results["checkpoint"] == str(folder / "checkpoints" / f"{word}.ckpt")
    assert fit(folder, f"--ckpt_path={word}", "--trainer.max_epochs=2") == 0
    assert load(folder)["global_step"] == 6


def test_a_word_for_a_checkpoint_that_is_not_there_names_the_other(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / "checkpoints" / "best.ckpt").unlink()
    for command, where, words in (
        ("test", folder, f"give {folder / 'checkpoints' / 'last.ckpt'}"),
        ("fit", tmp_path / "new", "train first"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(command, where, "--ckpt_path=best")
        message = capfd.readouterr().err
        assert "--ckpt_path is best, but there is no" in message and words in message
    assert not (tmp_path / "new").exists()


def rename(source: Path, target: Path) -> dict:
    """Write a checkpoint as if its network had been compiled."""
    checkpoint = torch.load(source, weights_only=True)
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {
        x.replace("network.", "network._orig_mod."): state[x] for x in state
    }
    torch.save(checkpoint, target)
    return checkpoint


def test_a_checkpoint_of_a_compiled_network_is_one_of_the_network(
    trained: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained, tmp_path / "run")
    best = folder / "checkpoints" / "best.ckpt"
    assert run("test", folder) == 0
    scores = json.loads((folder / "results.json").read_text())["scores"]
    compiled = rename(best, best)
    rename(folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "last.ckpt")
    assert run("test", folder) == 0
    assert json.loads((folder / "results.json").read_text())["scores"] == scores
    assert fit(folder, "--trainer.max_epochs=2") == 0
    assert load(folder)["state_dict"].keys() == load(trained)["state_dict"].keys()
    network = build_network(compiled, best, modules=["own_parts"])
    assert network.state_dict().keys() == TwoLayers(4).state_dict().keys()


def test_a_compiled_network_takes_a_checkpoint_of_the_network(trained: Path) -> None:
    for checkpoint in (load(trained), None):
        network = TwoLayers(4)
        module = SaliencyModule(torch.compile(network, backend="eager"))
        if checkpoint is None:  # its own
            checkpoint = {"state_dict": module.state_dict()}
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint["state_dict"])
        stored = checkpoint["state_dict"]["network._orig_mod.first.weight"]
        assert torch.equal(network.first.weight, stored)


@pytest.mark.parametrize(
    "options",
    [
        ["--model.network.decoder_name=upernet", "--data.batch_size=1"],
        ["--model.network.fusion_strides=[32]", "--data.batch_size=1", "--data.image_size=32"],
    ],
)
def test_one_value_per_channel_is_no_statistics(
    options: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = [x for x in SMALL if "model.network" not in x]
    where = [f"--trainer.default_root_dir={tmp_path}", "--model.network.encoder_name=resnet18"]
    with pytest.raises(SystemExit, match="2"):
        main(["fit", *config, *where, "--model.network.fusion_dim=16", *options])
    (message,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "one value per channel. Raise --data.batch_size" in message
    assert message.count("Raise --data.batch_size") == 1
