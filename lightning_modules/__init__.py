"""Training, scoring and the command line around :mod:`mutualformer`."""

from typing import TYPE_CHECKING

from mutualformer.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_modules.base_module import BaseModule
    from lightning_modules.probe_module import ProbeModule
    from lightning_modules.saliency_module import SaliencyModule
    from lightning_modules.segmentation_module import SegmentationModule

__all__ = ["BaseModule", "ProbeModule", "SaliencyModule", "SegmentationModule"]

__getattr__ = lazy_names(
    __name__,
    {
        "BaseModule": "lightning_modules.base_module",
        "ProbeModule": "lightning_modules.probe_module",
        "SaliencyModule": "lightning_modules.saliency_module",
        "SegmentationModule": "lightning_modules.segmentation_module",
    },
)
