"""A small LightningModule and batches that drive the callbacks through a real Trainer."""

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from lightning_modules.metrics import PerImageScores, SaliencyScores, quantise


class BrightnessModule(LightningModule):
    """Predict brightness as saliency, and log scores as SaliencyModule does."""

    def on_test_epoch_start(self):
        self.scores = {}

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        saliency = batch["rgb"].mean(dim=1, keepdim=True)
        parts = []
        for prediction, truth, dataset, name in zip(
            saliency, batch["ground_truth"], batch["dataset"], batch["name"], strict=True
        ):
            scores = self.scores.setdefault(dataset, SaliencyScores())
            scores.update([quantise(prediction, truth.shape[-2:])], [truth])
            parts.append(scores.latest_per_image(dataset, [name]))
        return {"saliency": saliency, "per_image": PerImageScores.concatenate(parts)}

    def on_test_epoch_end(self):
        self.log("test/loss", 0.5)
        for dataset, scores in self.scores.items():
            for name, value in scores.compute().items():
                self.log(f"test/{dataset}/{name}", value)

    def predict_step(self, batch, batch_idx, dataloader_idx=0):
        return {"saliency": batch["rgb"].mean(dim=1, keepdim=True)}


def collate(samples):
    batch = {key: [sample[key] for sample in samples] for key in samples[0]}
    for key in {"rgb", "depth", "mask"} & batch.keys():
        batch[key] = torch.stack(batch[key])
    return batch


def make_loader(dataset, num_samples, size=(30, 40), has_mask=True, names=None):
    """Return a loader in batches of 2; samples are fabricated, and bright where salient."""
    samples = []
    for index in range(num_samples):
        mask = torch.zeros(1, 32, 32)
        mask[:, 8:24, 4 + index : 20 + index] = 1
        truth = torch.nn.functional.interpolate(mask[None], size)[0].bool()
        sample = {
            "rgb": (0.2 + 0.6 * mask).expand(3, -1, -1).clone(),
            "depth": torch.linspace(0, 1, 32).expand(1, 32, 32).clone(),
            "name": names[index] if names else f"image_{index}",
            "dataset": dataset,
            "original_size": size,
        }
        if has_mask:
            sample |= {"mask": mask, "ground_truth": truth}
        samples.append(sample)
    return DataLoader(samples, batch_size=2, collate_fn=collate)


@pytest.fixture
def loader():
    return make_loader


@pytest.fixture
def module():
    return BrightnessModule()


@pytest.fixture
def trainer(tmp_path):
    def build(*callbacks):
        return Trainer(
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            callbacks=list(callbacks),
        )

    return build
