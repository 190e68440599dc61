"""Reading RGB and the second modality of a sample as a network gets them, whatever the task."""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader, ImageReader
from datamodules.reading.image_files import read_rgb
from datamodules.reading.pair_files import PairedFiles
from datamodules.shared_flag import SharedFlag


class PairReader:
    """Read the images of samples; zeros stand for what a sample does not have.

    Args:
        read_depth: reads the second modality.
        cache: keeps decoded files; what is read is the same with it and without.
        has_warned: set when outliers were warned of; several data sets share it.
    """

    def __init__(
        self,
        read_depth: DepthReader,
        cache: DecodedImageCache | None = None,
        has_warned: SharedFlag | None = None,
    ) -> None:
        self.read_depth = read_depth
        self.cache = cache
        self._constant_depth_maps: set[Path] = set()
        self._has_warned = SharedFlag() if has_warned is None else has_warned

    def __call__(self, sample: PairedFiles) -> tuple[Tensor, Tensor]:
        """Return uint8 `(3, H, W)` and float32 `(C, H, W)` in [0, 1], of one size.

        Raises:
            DataError: a file is broken.
        """
        rgb = None if sample.rgb is None else torch.from_numpy(read_rgb(sample.rgb, self.cache))
        depth = None if sample.depth is None else self._read_depth(sample)
        first = depth if rgb is None else rgb
        assert first is not None
        size = (first.shape[-2], first.shape[-1])
        rgb = torch.zeros(3, *size, dtype=torch.uint8) if rgb is None else rgb
        depth = torch.zeros(self.read_depth.channels, *size) if depth is None else depth
        if depth.shape[-2:] != size:
            depth = resize(depth, list(size), antialias=True)
        return rgb, depth

    def _read_depth(self, sample: PairedFiles) -> Tensor:
        path, dataset = sample.depth, sample.dataset
        assert path is not None
        values = self.read_depth.read_stored(path, dataset, self.cache, path == sample.rgb)
        depth = self.read_depth.scale(values, dataset)
        if depth.max() == 0:
            self._warn_of_constant_depth(path)
        elif (
            not self._has_warned
            and (outliers := self.read_depth.find_outliers(values, dataset))
            and self._has_warned.set_first()
        ):
            holes = "--data.invalid_depth if it means that there is no reading, or "
            remedy = "" if isinstance(self.read_depth, ImageReader) else holes
            warnings.warn(
                f"{path}: {outliers.describe()}, so that the network hardly sees them: give "
                f"{remedy}--data.depth_range; mutualformer data check names all such maps",
                stacklevel=4,
            )
        return torch.from_numpy(depth)

    def _warn_of_constant_depth(self, path: Path) -> None:
        if path not in self._constant_depth_maps:
            self._constant_depth_maps.add(path)
            warnings.warn(
                f"{path}: no two different values (holes and what lies below depth_range aside), "
                "expected a range: zeros are used, so that this sample is seen in RGB only",
                stacklevel=5,
            )
