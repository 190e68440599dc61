"""Probes as a data set and as a LightningDataModule."""

from typing import Any

import torch

from datamodules.batch import Batch
from datamodules.errors import check_at_least
from datamodules.paired_modality_data_module import (
    PairedModalityDataModule,
    PairedModalityDataset,
)
from datamodules.token_probes import ProbeSettings, generate_probe


class TokenProbeDataset(PairedModalityDataset):
    """Scenes made by `generate_probe`, generated anew on every access.

    Args:
        settings: the knobs.
        num_scenes: length of the data set, at least 1.
        seed, split: see `generate_probe`.

    >>> item = TokenProbeDataset(ProbeSettings(), num_scenes=4)[0]
    >>> item["rgb"].shape, item["depth"].shape, item["target"].shape
    (torch.Size([16, 8, 8]), torch.Size([18, 8, 8]), torch.Size([8, 8]))
    """

    def __init__(
        self, settings: ProbeSettings, num_scenes: int, seed: int = 0, split: str = "train"
    ) -> None:
        check_at_least(1, num_scenes=num_scenes)
        self.settings = settings
        self.num_scenes = num_scenes
        self.seed = seed
        self.split = split

    def __len__(self) -> int:
        return self.num_scenes

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < self.num_scenes:
            raise IndexError(f"scene {index} of {self.num_scenes}")
        scene = generate_probe(self.settings, self.seed, self.split, index)
        size = (self.settings.grid_size, self.settings.grid_size)
        rgb, depth = (torch.from_numpy(x).T.unflatten(1, size) for x in (scene.rgb, scene.depth))
        return {
            "rgb": rgb,
            "depth": depth,
            "target": torch.from_numpy(scene.target).view(size),
            "name": f"{self.split}_{index:05d}",
            "dataset": "held_out" if self.split == "val" else "probe",
            "original_size": size,
        }


class TokenProbeDataModule(PairedModalityDataModule):
    """Token grids of two modalities, made so that one property of a fusion decides the task.

    Needs no files. Validation scenes are called `held_out`, test scenes `probe`.

    Args:
        num_train: number of training scenes, at least 1.
        num_val: number of validation scenes; 0 for a run without validation.
        num_test: number of test scenes, at least 1.
        seed: of the scenes and of the training order, at least 0.
        batch_size: scenes per training batch and process.
        eval_batch_size: scenes per batch in validation and test.
        num_workers: worker processes per loader.
        knobs: fields of :class:`datamodules.token_probes.ProbeSettings`, such as ``gap``.

    Raises:
        UserError: a knob is unknown or outside its range, or two contradict each other.
    """

    def __init__(
        self,
        num_train: int = 12800,
        num_val: int = 0,
        num_test: int = 500,
        seed: int = 0,
        batch_size: int = 32,
        eval_batch_size: int = 100,
        num_workers: int = 0,
        **knobs: Any,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, num_workers, seed)
        check_at_least(1, num_train=num_train, num_test=num_test)
        check_at_least(0, num_val=num_val)
        settings = ProbeSettings(**knobs)

        def dataset(num_scenes: int, split: str) -> TokenProbeDataset:
            return TokenProbeDataset(settings, num_scenes, seed, split)

        self.train_dataset = dataset(num_train, "train")
        self.val_dataset = None if num_val == 0 else dataset(num_val, "val")
        self.test_datasets = [dataset(num_test, "test")]
        self.predict_dataset = self.test_datasets[0]
