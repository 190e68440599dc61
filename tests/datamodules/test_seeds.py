"""`data.seed` and `seed_everything` together: every pair of numbers is another training."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything

from datamodules import RGBDSaliencyDataModule
from datamodules.training_order import TrainingOrder

PAIRS = [(0, 0), (1, 1), (2, 2), (0, 1), (1, 0)]


class SeenSamples(LightningModule):
    """Keep what a training step is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen += list(zip(batch["name"], batch["rgb"], strict=True))
        return self.weight * batch["rgb"].mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def fit(folders, tmp_path, monkeypatch):
    folders.add(stems=tuple("abcdefghij"))
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # so that what seed_everything sets is taken back

    def fit(data_seed, seed_of_run, num_epochs=1, checkpoint=None):
        seed_everything(seed_of_run, verbose=False)
        module = SeenSamples()
        data = RGBDSaliencyDataModule(
            **{"root": str(folders.root), "train_sets": ["NLPR"], "image_size": 32},
            **{"batch_size": 2, "num_workers": 0, "validation_fraction": 0.0, "seed": data_seed},
        )
        trainer = Trainer(
            **{"max_epochs": num_epochs, "accelerator": "cpu", "logger": False},
            **{"enable_progress_bar": False, "enable_model_summary": False},
            enable_checkpointing=False,
        )
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return module.seen, tmp_path / "last.ckpt"

    return fit


def order_of(seen):
    return "".join(name for name, _ in seen)


def test_no_two_pairs_of_seeds_train_alike(fit):
    seen = {pair: fit(*pair)[0] for pair in PAIRS}
    assert len({order_of(samples) for samples in seen.values()}) == len(PAIRS)
    for name in "abcdefghij":
        images = [dict(samples)[name] for samples in seen.values()]
        assert len({image.numpy().tobytes() for image in images}) == len(PAIRS)
    assert order_of(fit(1, 1)[0]) == order_of(seen[1, 1])


def former_order(epoch):
    order = TrainingOrder(10, batch_size=2, seed=3 ^ 5)
    order.set_epoch(epoch)
    return "".join("abcdefghij"[index] for _, index in order)


def test_a_run_keeps_the_order_that_it_began_with(fit):
    whole, _ = fit(3, 5, num_epochs=3)
    _, checkpoint = fit(3, 5)
    for epoch in (1, 2):
        continued, checkpoint = fit(3, 5, epoch + 1, checkpoint)
        assert order_of(continued) == order_of(whole)[10 * epoch : 10 * epoch + 10]
        assert order_of(continued) != former_order(epoch)


def test_a_run_that_combined_seeds_otherwise_keeps_its_order(fit):
    _, checkpoint = fit(3, 5)
    content = torch.load(checkpoint, weights_only=True)
    del content["RGBDSaliencyDataModule"]["seeds_are_hashed"]
    torch.save(content, checkpoint)
    for epoch in (1, 2):  # what the first continuation writes, the second one reads
        continued, checkpoint = fit(3, 5, epoch + 1, checkpoint)
        assert order_of(continued) == former_order(epoch)
