"""Paired-modality (RGB + depth) data sets and data modules."""

from typing import TYPE_CHECKING

from mutualformer.lazy import lazy_names

if TYPE_CHECKING:
    from datamodules.batch import collate
    from datamodules.errors import DataError
    from datamodules.rgbd_saliency_data_module import RGBDSaliencyDataModule
    from datamodules.rgbd_saliency_dataset import RGBDSaliencyDataset
    from datamodules.rgbx_segmentation_data_module import RGBXSegmentationDataModule
    from datamodules.synthetic_rgbd_data_module import (
        SyntheticRGBDDataModule,
        SyntheticRGBDDataset,
    )
    from datamodules.synthetic_segmentation_data_module import SyntheticSegmentationDataModule
    from datamodules.token_probe_data_module import TokenProbeDataModule

__all__ = [
    "DataError",
    "RGBDSaliencyDataModule",
    "RGBDSaliencyDataset",
    "RGBXSegmentationDataModule",
    "SyntheticRGBDDataModule",
    "SyntheticRGBDDataset",
    "SyntheticSegmentationDataModule",
    "TokenProbeDataModule",
    "collate",
]

__getattr__ = lazy_names(
    __name__,
    {
        "DataError": "datamodules.errors",
        "RGBDSaliencyDataModule": "datamodules.rgbd_saliency_data_module",
        "RGBDSaliencyDataset": "datamodules.rgbd_saliency_dataset",
        "RGBXSegmentationDataModule": "datamodules.rgbx_segmentation_data_module",
        "SyntheticRGBDDataModule": "datamodules.synthetic_rgbd_data_module",
        "SyntheticRGBDDataset": "datamodules.synthetic_rgbd_data_module",
        "SyntheticSegmentationDataModule": "datamodules.synthetic_segmentation_data_module",
        "TokenProbeDataModule": "datamodules.token_probe_data_module",
        "collate": "datamodules.batch",
    },
)
