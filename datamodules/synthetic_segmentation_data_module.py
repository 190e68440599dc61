"""Synthetic RGB-D scenes with classes as a data set and as a LightningDataModule."""

import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.synthetic_class_scenes import LABEL_MAP, generate_class_scene
from datamodules.synthetic_rgbd_data_module import SyntheticRGBDDataModule, SyntheticRGBDDataset


class SyntheticSegmentationDataset(SyntheticRGBDDataset):
    """Scenes made by `generate_class_scene`, generated anew on every access.

    Args:
        num_scenes: length of the data set, at least 1.
        seed, split, image_size, difficulty: see `generate_scene`.

    >>> item = SyntheticSegmentationDataset(num_scenes=4, split="test", image_size=64)[0]
    >>> item["rgb"].shape, item["label"].shape, item["name"]
    (torch.Size([3, 64, 64]), torch.Size([64, 64]), 'test_00000')
    """

    def _generate(self, index: int) -> tuple[NDArray, NDArray, dict[str, Tensor], Tensor]:
        scene = generate_class_scene(self.seed, self.split, index, self.image_size, self.difficulty)
        label = torch.from_numpy(scene.label)
        return scene.rgb, scene.depth, {"label": label}, label


class SyntheticSegmentationDataModule(SyntheticRGBDDataModule):
    """Synthetic scenes whose four classes of regions can only be told with both modalities.

    Needs no files. Validation scenes are called `held_out`, test scenes `synthetic`; `predict`
    runs on the test scenes.

    Arguments are those of `SyntheticRGBDDataModule`.
    """

    dataset_class = SyntheticSegmentationDataset
    label_map = LABEL_MAP
