"""What a user may mistype: one message, exit code 2, and nothing written."""

from pathlib import Path

import pytest
import torch

from lightning_modules import SaliencyModule
from lightning_modules.main import main

CONFIG = Path(__file__).parents[1] / "tiny.yaml"


def run(command: str, folder: Path, *options: str) -> int:
    return main([command, f"--config={CONFIG}", f"--trainer.default_root_dir={folder}", *options])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.fusion.epsilon=1"], "epsilon is 1.0, expected 0 <= epsilon < 1"),
        (["--model.network.fusion.num_iterations=-1"], "num_iterations is -1"),
        (["--model.network.fusion.num_heads=3"], "dim is 16 and num_heads is 3"),
        (
            ["--model.network.fusion.name=mean"],
            "fusion is mean, expected one of mutualformer, concat",
        ),
        (["--model.network.fusion.epsilom=0.5"], "epsilom"),
        (["--model.network.encoder_name=resnet1"], "encoder_name is 'resnet1'"),
        (["--model.network.encoder_weights=nowhere.pth"], "no such file"),
        (["--model.loss=dice"], "dice"),
        (["--trainer.max_epoch=3"], "unrecognized arguments: --trainer.max_epoch=3"),
        (["--trainer.accelerator=gpu"], "gpu"),
        (["--trainer.strategy=fsddp"], "invalid strategy name"),
        (["--trainer.devices=-3"], "should be an int > 0"),
        (["--trainer.limit_train_batches=-3"], "limit_train_batches"),
        (["--checkpoint.monitor=test/synthetic/s_measure"], "must not be chosen on a test set"),
        (["--data.num_train=0"], "num_train"),
        (["--seed_everything=-1"], "seed_everything is -1, expected"),
        (["--ckpt_path=nowhere.ckpt"], "there is no such file"),
        (["--config=nowhere.yaml"], "File does not exist"),
        (["--data=datamodules.RGBDSaliencyDataModule"], "--data.train_sets"),
    ],
)
def test_mistakes_end_in_one_message_and_nothing_written(
    options: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if "gpu" in words and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit) as error:
        run("fit", tmp_path / "run", *options)
    assert error.value.code == 2
    messages = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(messages) == 1
    assert words in messages[0]
    assert not (tmp_path / "run").exists()


def test_testing_before_training_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("test", tmp_path / "run")
    assert "train first with mutualformer fit" in capfd.readouterr().err


def test_a_defect_of_ours_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_arguments: object, **_options: object) -> None:
        int("not a number")

    monkeypatch.setattr(SaliencyModule, "training_step", defect)
    with pytest.raises(ValueError, match="invalid literal"):
        run("fit", tmp_path / "run")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"model: [", "is not valid YAML"),
        (b"model: \xff", "is not valid YAML"),
        (b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (98 + i, 98 + i, 97 + i, 97 + i)
                                       for i in range(20)), "more than 20000 values"),
        (b"- 1", "holds a list, expected settings"),
    ],
)  # fmt: skip
def test_of_several_configurations_the_broken_one_is_named(
    tmp_path: Path, content: bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "overlay.yaml").write_bytes(content)
    with pytest.raises(SystemExit, match="2"):
        run("fit", tmp_path / "run", "--config", str(tmp_path / "overlay.yaml"))
    message = capsys.readouterr().err
    assert "overlay.yaml" in message and reason in message and "Traceback" not in message
    assert not (tmp_path / "run").exists()
