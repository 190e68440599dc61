"""What a task gets from its base, and what is refused of one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from datamodules import SyntheticRGBDDataModule
from lightning_modules import SaliencyModule
from lightning_modules.base_module import BaseModule
from lightning_modules.callbacks import RunCheckpoint
from lightning_modules.runs.score import Score
from mutualformer.errors import UserError


class Mean(nn.Module):
    """The smallest network: a bias per colour channel."""

    def __init__(self, num_outputs: int = 1) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, num_outputs, 1)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return self.layer(rgb)


class Task(BaseModule):
    """Count images: `value` is what the test says it is."""

    scores = (Score("value", "Value", high=10), Score("error", "Error", higher_is_better=False))
    values: dict[str, float] = {"value": 1.0}

    def compute_loss(self, batch: Any) -> Tensor:
        return self.network(batch["rgb"], batch["depth"]).square().mean()

    def new_metric(self) -> MetricCollection:
        return MetricCollection({name: SumMetric() for name in self.values})

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict:
        for dataset in batch["dataset"]:
            for name, metric in self.metric(dataset).items(keep_base=True):
                metric.update(self.values[name])
        return {}

    validation_step = test_step


def trainer(folder: Path, *callbacks: Any, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        callbacks=list(callbacks),
        **{"enable_checkpointing": bool(callbacks), "max_epochs": 1} | options,
    )


def data() -> SyntheticRGBDDataModule:
    return SyntheticRGBDDataModule(32, num_train=4, num_val=2, num_test=2, batch_size=2)


def test_scores_are_handed_over_as_python_numbers(tmp_path: Path) -> None:
    module = Task(Mean())
    run = trainer(tmp_path)
    run.test(module, data(), verbose=False)
    assert module.latest_scores == {"synthetic": {"value": 2.0}}
    assert type(module.latest_scores["synthetic"]["value"]) is float
    assert run.callback_metrics["test/synthetic/value"] == 2.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"value": 6.0}, "value of synthetic is 12, expected a number in [0, 10]"),
        (
            {"value": 1.0, "other": 1.0},
            "has the score 'other', expected one of value, error",
        ),
    ],
)
def test_a_score_that_is_not_as_described_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict, words: str
) -> None:
    monkeypatch.setattr(Task, "values", values)
    with pytest.raises(UserError) as error:
        trainer(tmp_path).test(Task(Mean()), data(), verbose=False)
    assert words in str(error.value) and "test_base_module.Task" in str(error.value)


def test_scores_that_collide_are_refused_when_the_module_is_built() -> None:
    class Colliding(Task):
        scores = (Score("value", "Value"), Score("value", "Other"))

    with pytest.raises(UserError, match="Colliding are called 'value', expected each once"):
        Colliding(Mean())


def test_a_network_without_encoders_has_one_rate(tmp_path: Path) -> None:
    module = Task(Mean(), encoder_learning_rate_factor=0.5)
    trainer(tmp_path).fit(module, data())
    (group,) = module.optimizers().param_groups  # type: ignore[union-attr]
    assert {id(x) for x in group["params"]} == {id(x) for x in module.parameters()}


@pytest.mark.parametrize(
    ("monitor", "settled", "mode"),
    [
        (None, "val/held_out/value", "max"),
        ("val/held_out/value", "val/held_out/value", "max"),
        ("val/held_out/error", "val/held_out/error", "min"),
        ("train/loss", "train/loss", "min"),
    ],
)
def test_the_best_checkpoint_is_chosen_by_the_direction_of_its_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, monitor: str | None, settled: str, mode: str
) -> None:
    monkeypatch.setattr(Task, "values", {"value": 1.0, "error": 0.1})
    callback = RunCheckpoint(monitor)
    trainer(tmp_path, callback).fit(Task(Mean()), data())
    assert (callback.monitor, callback.mode) == (settled, mode)
    written = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert written == {"best.ckpt", "last.ckpt"}


def test_a_network_of_another_output_is_named_and_left_as_it_was() -> None:
    module = SaliencyModule(Mean(num_outputs=2))
    module.network.layer.eval()  # type: ignore[union-attr]
    batch = next(iter(data().train_dataloader()))
    state = torch.get_rng_state()
    with pytest.raises(UserError, match=r"Mean is \(2, 2, 32, 32\).*expected.*\(2, 1, 32, 32\)"):
        module.check_batch(batch)
    assert module.network.training and not module.network.layer.training  # type: ignore[union-attr]
    assert torch.equal(torch.get_rng_state(), state)
