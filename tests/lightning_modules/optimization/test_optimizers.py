"""Every optimiser of torch trains a network, or is refused in one line before it does."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from own_parts import TwoLayers
from small_fit import fit
from torch import nn
from torch.optim import LBFGS, Optimizer

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule
from mutualformer.errors import UserError

OPTIMIZERS = {
    name: found
    for name, found in vars(torch.optim).items()
    if inspect.isclass(found) and issubclass(found, Optimizer) and found is not Optimizer
}
REFUSED = {
    "SparseAdam": "model.optimizer is SparseAdam, .* give torch.optim.Adam",
    "Muon": "model.optimizer: Muon only supports 2D parameters",
}


class TwoRates(TwoLayers):
    """A network that has an encoder."""

    def encoder_parameters(self) -> Any:
        return self.first.parameters()


def train(folder: Path, optimizer: Any, factor: float = 1.0, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    module = SaliencyModule(TwoRates(4), optimizer=optimizer, encoder_learning_rate_factor=factor)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        max_epochs=2,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(module, SyntheticRGBDDataModule(32, num_train=4, num_val=1, batch_size=2))
    return module.network


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_trains_or_is_refused(name: str, tmp_path: Path) -> None:
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            train(tmp_path, OPTIMIZERS[name])
        return
    torch.manual_seed(0)
    before = TwoRates(4).state_dict()
    after = train(tmp_path, OPTIMIZERS[name]).state_dict()
    assert all(after[x].isfinite().all() and not after[x].equal(before[x]) for x in after)


def test_lbfgs_has_one_rate_and_one_batch_per_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --model.encoder_learning_rate_factor=1"):
        train(tmp_path, LBFGS, factor=0.1)
    for options in (
        {"accumulate_grad_batches": 2},
        {"callbacks": [GradientAccumulationScheduler({1: 2})]},
    ):
        with pytest.raises(UserError, match="LBFGS.*no accumulated batches"):
            train(tmp_path, LBFGS, **options)


def test_an_optimiser_is_refused_before_anything_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        (["--model.optimizer=SparseAdam"], "give torch.optim.Adam"),
        (["--model.optimizer.lr=-1"], "model.optimizer: Invalid learning rate: -1"),
        (["--model.optimizer=Adagrad", "--model.scheduler=OneCycleLR"], "cycle_momentum"),
        (["--trainer.max_epochs=-1"], "CosineAnnealingLR has no number of steps"),
    ):
        with pytest.raises(SystemExit, match="2"):
            fit(tmp_path / "run", *options)
        assert words in capfd.readouterr().err
        assert not (tmp_path / "run").exists()
