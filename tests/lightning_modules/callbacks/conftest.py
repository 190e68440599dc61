"""A module without a network to speak of, and batches that drive callbacks through a Trainer."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from lightning_modules import SaliencyModule


class Brightness(torch.nn.Module):
    """Take what is bright for salient, without learning anything."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, rgb, depth):
        brightness = rgb.mean(dim=1, keepdim=True)
        return brightness.double().logit().float() + self.weight * 0


class BrightnessModule(SaliencyModule):
    """Predict brightness itself as saliency, to the bit."""

    def __init__(self):
        super().__init__(Brightness())
        self.hparams.clear()  # a checkpoint would hold the class of the network, which has no path

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
