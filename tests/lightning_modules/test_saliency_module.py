"""The module only wires: optimiser groups, schedule, loss and refusals."""

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule
from mutualformer import MutualFormerBlock, MutualFormerNetwork


def build(**options: object) -> SaliencyModule:
    network = MutualFormerNetwork(
        "resnet18",
        fusion=partial(MutualFormerBlock, num_heads=2),
        fusion_strides=(16, 32),
        fusion_dim=16,
        decoder_dim=32,
    )
    return SaliencyModule(network, **options)


def fit(module: SaliencyModule, **options: object) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    data = SyntheticRGBDDataModule(image_size=64, num_train=8, num_val=2, batch_size=4)
    trainer.fit(module, data)
    return trainer


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[list[float]]:
    """Return the learning rates of every step, filled while training."""
    seen: list[list[float]] = []

    def record(self: SaliencyModule, *_arguments: object) -> None:
        seen.append([group["lr"] for group in self.optimizers().param_groups])

    monkeypatch.setattr(SaliencyModule, "on_train_batch_start", record)
    return seen


def test_the_schedule_spans_the_run_after_the_warm_up(rates: list[list[float]]) -> None:
    module = build(
        optimizer=lambda groups: torch.optim.SGD(groups, lr=1.0),
        scheduler=lambda optimizer, steps: torch.optim.lr_scheduler.PolynomialLR(optimizer, steps),
        warmup_steps=2,
        encoder_learning_rate_factor=0.1,
    )
    module.loss = lambda logits, mask: 0 * logits.sum()
    fit(module, max_epochs=3)
    others = [rate for rate, _ in rates]
    assert others == pytest.approx([0.01, 0.505, 1.0, 0.75, 0.5, 0.25])
    assert [encoder for _, encoder in rates] == pytest.approx([0.1 * rate for rate in others])


def test_every_parameter_is_in_one_group() -> None:
    module = build()
    fit(module, max_epochs=1)
    groups = module.optimizers().param_groups
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(parameter) for parameter in module.parameters()}


@pytest.mark.parametrize("loss", ["weighted_bce_iou", "bce"])
def test_training_lowers_the_loss(loss: str) -> None:
    module = build(loss=loss, optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-3))
    batch = next(iter(SyntheticRGBDDataModule(64, num_train=4, batch_size=4).train_dataloader()))
    with torch.no_grad():
        before = module.loss(module(batch["rgb"], batch["depth"]), batch["mask"])
    fit(module, max_epochs=10)
    with torch.no_grad():
        after = module.loss(module(batch["rgb"], batch["depth"]), batch["mask"])
    assert after < 0.8 * before


def test_validation_scores_are_logged_under_their_data_set() -> None:
    trainer = fit(build(), max_epochs=1)
    names = [name for name in trainer.callback_metrics if name.startswith("val/held_out/")]
    assert {"val/held_out/s_measure", "val/held_out/mae"} <= set(names)
    assert all(trainer.callback_metrics[name].isfinite() for name in names)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loss": "dice"}, "loss is 'dice', expected one of weighted_bce_iou, bce"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"encoder_learning_rate_factor": -0.1}, "encoder_learning_rate_factor is -0.1"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError) as error:
        build(**options)
    assert words in str(error.value)


def break_loss_at(module: SaliencyModule, step: int) -> None:
    loss = module.loss

    def broken(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        factor = float("nan") if module.trainer.fit_loop.total_batch_idx == step else 1.0
        return factor * loss(logits, mask)

    module.loss = broken


def test_a_loss_that_is_no_number_stops_before_it_reaches_the_weights(tmp_path: Path) -> None:
    module = build()
    break_loss_at(module, 0)
    before = {name: value.clone() for name, value in module.named_parameters()}
    with pytest.raises(ValueError, match="loss is nan in epoch 0, batch 0") as error:
        fit(module, max_epochs=1, default_root_dir=tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in module.named_parameters())
    batch = torch.load(tmp_path / "non_finite_batch.pt", weights_only=True)
    assert batch["rgb"].shape == (4, 3, 64, 64)
    assert all(f"synthetic/{name}" in str(error.value) for name in batch["name"])


def test_a_loss_that_is_no_number_can_be_skipped(tmp_path: Path) -> None:
    module = build(non_finite_loss="skip")
    break_loss_at(module, 1)
    seen: list[torch.Tensor] = []
    step_end = module.on_train_batch_end
    weight = module.network.head.weight if hasattr(module.network, "head") else None
    assert weight is not None

    def record(*arguments: object) -> None:
        seen.append(weight.detach().clone())
        step_end(*arguments)

    module.on_train_batch_end = record
    with pytest.warns(UserWarning, match="loss is nan in epoch 0, batch 1.*the batch is skipped"):
        fit(module, max_epochs=2, default_root_dir=tmp_path)
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert all(value.isfinite().all() for value in module.state_dict().values())
