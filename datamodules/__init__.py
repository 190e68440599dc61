"""Paired-modality (RGB + depth) data sets and data modules for salient object detection."""

from datamodules.batch import collate
from datamodules.errors import DataError
from datamodules.rgbd_saliency_data_module import RGBDSaliencyDataModule
from datamodules.rgbd_saliency_dataset import RGBDSaliencyDataset
from datamodules.synthetic_rgbd_data_module import SyntheticRGBDDataModule, SyntheticRGBDDataset

__all__ = [
    "DataError",
    "RGBDSaliencyDataModule",
    "RGBDSaliencyDataset",
    "SyntheticRGBDDataModule",
    "SyntheticRGBDDataset",
    "collate",
]
