"""Synthetic RGB-D scenes as a data set and as a LightningDataModule."""

import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.batch import Batch
from datamodules.errors import check_at_least
from datamodules.image_size import ImageSize, height_and_width
from datamodules.paired_modality_data_module import (
    PairedModalityDataModule,
    PairedModalityDataset,
)
from datamodules.synthetic_scenes import check_scene_arguments, generate_scene


class SyntheticRGBDDataset(PairedModalityDataset):
    """Scenes made by `generate_scene`, generated anew on every access.

    Item number i is the same whatever `num_scenes` is. Items of the splits `"val"` and `"test"`
    also hold `ground_truth`, as every evaluation item does.

    Args:
        num_scenes: length of the data set, at least 1.
        seed, split, image_size, difficulty: see `generate_scene`.

    >>> item = SyntheticRGBDDataset(num_scenes=4, split="test", image_size=64)[0]
    >>> item["rgb"].shape, item["depth"].shape, item["mask"].shape, item["name"]
    (torch.Size([3, 64, 64]), torch.Size([1, 64, 64]), torch.Size([1, 64, 64]), 'test_00000')
    """

    def __init__(
        self,
        num_scenes: int,
        seed: int = 0,
        split: str = "train",
        image_size: ImageSize = 128,
        difficulty: float = 0.5,
    ) -> None:
        check_at_least(1, num_scenes=num_scenes)
        check_scene_arguments(seed, split, image_size, difficulty)
        self.num_scenes = num_scenes
        self.seed = seed
        self.split = split
        self.image_size = height_and_width(image_size)
        self.difficulty = difficulty

    def __len__(self) -> int:
        return self.num_scenes

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < self.num_scenes:
            raise IndexError(f"scene {index} of {self.num_scenes}")
        rgb, depth, targets, ground_truth = self._generate(index)
        item: Batch = {
            "rgb": torch.from_numpy(rgb).permute(2, 0, 1).contiguous(),
            "depth": torch.from_numpy(depth)[None],
            **targets,
            "name": f"{self.split}_{index:05d}",
            "dataset": "held_out" if self.split == "val" else "synthetic",
            "original_size": self.image_size,
        }
        if self.split != "train":
            item["ground_truth"] = ground_truth
        return item

    def _generate(self, index: int) -> tuple[NDArray, NDArray, dict[str, Tensor], Tensor]:
        """Return RGB, depth, what a training learns of a scene, and what a test compares with."""
        scene = generate_scene(self.seed, self.split, index, self.image_size, self.difficulty)
        salient = torch.from_numpy(scene.salient)[None]
        return scene.rgb, scene.depth, {"mask": salient.float()}, salient


class SyntheticRGBDDataModule(PairedModalityDataModule):
    """Synthetic scenes whose salient object can only be told with both modalities.

    Needs no files. Validation scenes are called `held_out`, test scenes `synthetic`; `predict`
    runs on the test scenes.

    Args:
        image_size: of the images in pixels, at least 32: the side of a square, or
            `[height, width]`.
        num_train: number of training scenes, at least 1.
        num_val: number of validation scenes; 0 for a run without validation.
        num_test: number of test scenes, at least 1.
        difficulty: from 0 (easy) to 1 (hard), see `generate_scene`.
        seed: seed of the scenes and of the training order, at least 0.
        batch_size: samples per training batch and process.
        eval_batch_size: samples per batch in validation, test and prediction.
        num_workers: worker processes per loader; 0 generates the scenes in the main process.
        corruption: of one modality in test and prediction, `MODALITY:KIND:SEVERITY`, such as
            `depth:noise:0.5`, see `docs/robustness.md`.
        modality_dropout: probability that a training sample lacks one modality, chosen at random.

    Raises:
        ValueError: an argument is outside its range.
    """

    dataset_class = SyntheticRGBDDataset

    def __init__(
        self,
        image_size: ImageSize = 128,
        num_train: int = 2000,
        num_val: int = 100,
        num_test: int = 200,
        difficulty: float = 0.5,
        seed: int = 0,
        batch_size: int = 16,
        eval_batch_size: int = 16,
        num_workers: int = 0,
        corruption: str | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            batch_size, eval_batch_size, num_workers, seed, corruption, modality_dropout
        )
        check_at_least(1, num_train=num_train, num_test=num_test)
        check_at_least(0, num_val=num_val)
        self.image_size = height_and_width(image_size)

        def dataset(num_scenes: int, split: str) -> SyntheticRGBDDataset:
            return self.dataset_class(num_scenes, seed, split, image_size, difficulty)

        self.train_dataset = dataset(num_train, "train")
        self.val_dataset = None if num_val == 0 else dataset(num_val, "val")
        self.test_datasets = [dataset(num_test, "test")]
        self.predict_dataset = self.test_datasets[0]
