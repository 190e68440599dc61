"""Run by test_segmentation_runs.py: test a network on synthetic classes, in N processes."""

import sys

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from datamodules import SyntheticSegmentationDataModule
from lightning_modules import SegmentationModule
from lightning_modules.callbacks import PerImageScoresWriter, ResultsWriter


class SmallNetwork(nn.Module):
    """Convolve both modalities."""

    num_classes = 5

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(4, 5, 5, padding=2)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return self.layer(torch.cat([rgb, depth], 1) - 0.5)


def run(folder: str, num_processes: int) -> None:
    """Write results and scores per image of seven scenes."""
    trainer = Trainer(
        accelerator="cpu",
        devices=num_processes,
        strategy="ddp" if num_processes > 1 else "auto",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[ResultsWriter(), PerImageScoresWriter()],
    )
    data = SyntheticSegmentationDataModule(image_size=64, num_test=7, eval_batch_size=2)
    trainer.test(SegmentationModule(SmallNetwork(), test_flip=True), data, verbose=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(sys.argv[1], 2)
