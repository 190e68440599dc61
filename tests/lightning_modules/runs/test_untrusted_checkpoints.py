"""A checkpoint of a stranger is data: nothing in it is executed."""

import os
from pathlib import Path

import pytest
import torch

from lightning_modules.main import main
from lightning_modules.runs.checkpoints import check_checkpoint
from mutualformer import MutualFormerNetwork

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


class Payload:
    """Write a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def malicious(tmp_path: Path) -> Path:
    """Return a folder of a run whose checkpoints execute code when they are unpickled."""
    trace, proof = tmp_path / "executed", tmp_path / "proof"
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("best.ckpt", "last.ckpt"):
        torch.save({"state_dict": {}, "hyper_parameters": Payload(trace)}, folder / name)
    torch.save(Payload(proof), tmp_path / "proof.pt")
    torch.load(tmp_path / "proof.pt", weights_only=False)
    assert proof.exists()  # the payload works
    return folder.parent


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "export"])
def test_code_in_a_checkpoint_is_refused_and_not_executed(
    command: str, malicious: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last = malicious / "checkpoints" / "last.ckpt"
    trainer = [f"--config={CONFIG}", f"--trainer.default_root_dir={malicious}"]
    ways = [trainer, [*trainer, f"--ckpt_path={last}", "--weights_only=false"]]
    if command == "export":
        output = f"--output={malicious.parent / 'exported'}"
        ways = [[str(malicious)], [str(last), output, "--format=safetensors"]]
    for options in ways:
        with pytest.raises(SystemExit, match="2"):
            main([command, *options])
        message = capfd.readouterr().err
        assert "error: checkpoint " in message
        assert "cannot be read: it is damaged, or holds objects that could run code" in message
    assert not (malicious.parent / "executed").exists()
    assert sorted(path.name for path in malicious.rglob("*")) == [
        "best.ckpt",
        "checkpoints",
        "last.ckpt",
    ]


def test_an_exported_folder_is_never_unpickled(malicious: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (malicious / "checkpoints" / "last.ckpt").rename(malicious / name)
        os.link(malicious / name, malicious / "checkpoints" / "last.ckpt")
    with pytest.raises(ValueError, match=r"config\.json cannot be read"):
        MutualFormerNetwork.from_pretrained(malicious)
    MutualFormerNetwork("resnet18", fusion_dim=16, decoder_dim=32).save_pretrained(
        malicious.parent / "good"
    )
    (malicious.parent / "good" / "config.json").replace(malicious / "config.json")
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        MutualFormerNetwork.from_pretrained(malicious)
    assert not (malicious.parent / "executed").exists()


@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_sharded_checkpoint_which_torch_unpickles_has_to_be_trusted_by_name(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sharded = tmp_path / "run" / "checkpoints" / "last.ckpt"
    sharded.mkdir(parents=True)
    torch.save(Payload(tmp_path / "executed"), sharded / "meta.pt")
    config = [f"--config={CONFIG}", f"--trainer.default_root_dir={tmp_path / 'run'}"]
    for option in (f"--ckpt_path={sharded}", "--weights_only=true"):
        with pytest.raises(SystemExit, match="2"):
            main([command, *config, option])
        assert "which can run code when it is read: if it is your own" in capfd.readouterr().err
    assert not (tmp_path / "executed").exists()
    check_checkpoint(sharded, may_run_code=True)
