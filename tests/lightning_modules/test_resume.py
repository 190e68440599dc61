"""A run that was killed goes on to the weights of one that was not, bit for bit."""

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule
from lightning_modules.callbacks import RunCheckpoint, StepSeed
from lightning_modules.checkpoints import AtomicCheckpointIO
from mutualformer import Fusion, MutualFormerNetwork


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six RGB-D pairs, one of which will be held out."""
    root = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for index in range(6):
        mask = np.zeros((48, 64), np.uint8)
        mask[8 + index : 30, 12:40] = 255
        rgb = generator.integers(0, 256, (48, 64, 3), np.uint8)
        for name, image in {"RGB": rgb, "depth": rgb[..., 0], "GT": mask}.items():
            (root / "PAIRS" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(root / "PAIRS" / name / f"{index}.png")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
def test_killed_in_the_middle_of_an_epoch(
    mutualformer: Callable, pairs: Path, tmp_path: Path, num_workers: int
) -> None:
    # The decoder has dropout, and the pairs are augmented.
    options = [
        *("--data", "datamodules.RGBDSaliencyDataModule", f"--data.root={pairs}"),
        *("--data.train_sets=[PAIRS]", "--data.image_size=64", "--data.batch_size=2"),
        *(f"--data.num_workers={num_workers}", "--trainer.max_epochs=3"),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    mutualformer("fit", whole, *options)
    callback = "{class_path: kill_at_step.KillAtStep, init_args: {step: 3}}"
    mutualformer(
        "fit", killed, *options, f"--trainer.callbacks=[{callback}]", returncode=-signal.SIGKILL
    )
    last = killed / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    mutualformer("fit", killed, *options)
    expected, resumed = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
        for folder in (whole, killed)
    )
    assert resumed["global_step"] == expected["global_step"] == 6
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(resumed[part], expected[part], rtol=0, atol=0)


class SigtermAt(Callback):
    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: Trainer, *arguments: object) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), signal.SIGTERM)


def fit_in_process(folder: Path, ckpt_path: Path | None, *callbacks: Callback) -> None:
    torch.manual_seed(0)
    network = MutualFormerNetwork(
        "resnet18", fusion=Fusion(num_heads=2), fusion_strides=(32,), fusion_dim=16, decoder_dim=32
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=[StepSeed(), RunCheckpoint(), *callbacks],
    )
    data = SyntheticRGBDDataModule(image_size=32, num_train=6, num_val=2, batch_size=2)
    trainer.fit(SaliencyModule(network), data, ckpt_path=ckpt_path, weights_only=False)


def last_checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)


def test_sigterm_between_any_two_batches_loses_nothing(tmp_path: Path) -> None:
    fit_in_process(tmp_path / "whole", None)
    expected = last_checkpoint(tmp_path / "whole")
    assert expected["global_step"] == 6
    for batch in range(5):
        folder = tmp_path / str(batch)
        with pytest.raises(SystemExit) as stop:
            fit_in_process(folder, None, SigtermAt(batch))
        assert stop.value.code in (None, 0)
        assert last_checkpoint(folder)["global_step"] == batch + 1
        fit_in_process(folder, folder / "checkpoints" / "last.ckpt")
        resumed = last_checkpoint(folder)
        assert resumed["global_step"] == 6
        for part in ("state_dict", "optimizer_states", "lr_schedulers"):
            torch.testing.assert_close(resumed[part], expected[part], rtol=0, atol=0)


@pytest.fixture
def files_up_to_64_kib() -> Iterator[None]:
    """Let writes fail beyond that, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_up_to_64_kib")
def test_a_checkpoint_cut_while_it_is_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    writer = AtomicCheckpointIO()
    writer.save_checkpoint({"weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match="File too large. .*as it was: make room"):
        writer.save_checkpoint({"weight": torch.zeros(2**16)}, path)
    assert torch.load(path)["weight"].tolist() == [1, 1, 1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]


def test_steps_and_processes_draw_different_numbers() -> None:
    class At:
        def __init__(self, current_epoch: int, global_rank: int) -> None:
            self.current_epoch, self.global_rank = current_epoch, global_rank

    def draw(epoch: int, batch: int, rank: int) -> float:
        StepSeed().on_train_batch_start(At(epoch, rank), None, None, batch)  # type: ignore[arg-type]
        return torch.rand(1).item()

    keys = [(epoch, batch, rank) for epoch in range(3) for batch in range(3) for rank in range(2)]
    drawn = [draw(*key) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert [draw(*key) for key in keys] == drawn
