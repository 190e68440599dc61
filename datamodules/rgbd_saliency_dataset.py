"""RGB-D saliency samples read from files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from datamodules.augmentation.transforms import EvalTransform, TrainTransform
from datamodules.batch import Batch
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader, ImageReader
from datamodules.reading.image_files import read_mask, read_rgb
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pair_sizes import check_sizes
from datamodules.shared_flag import SharedFlag


class RGBDSaliencyDataset(PairedModalityDataset):
    """RGB image, depth map (near = 1) and mask of each sample, as described in `collate`.

    The second modality is called `depth` whatever it is.

    The sizes of all files are compared when the data set is created, from their headers.

    Args:
        samples: the files, see `pair_files`. Zeros take the place of RGB or depth that is `None`.
        transform: brings a sample to the network's input size.
        read_depth: reads the second modality of a sample.
        resize_depth: whether a depth map of another size than its RGB image is resized to it.
            Otherwise it is an error.
        with_ground_truth: whether items also hold `ground_truth`, the mask at its own size.
        dataset_name: name for all items instead of those of their data sets.
        cache: keeps decoded files; what is read is the same with it and without.
        has_warned: set when outliers were warned of; several data sets share it.

    Raises:
        DataError: on creation, if a file has no readable header or another size than its RGB
            image; on access, if a file is broken or a mask is not binary-like.
    """

    def __init__(
        self,
        samples: Sequence[PairedFiles],
        transform: TrainTransform | EvalTransform,
        read_depth: DepthReader,
        resize_depth: bool = False,
        with_ground_truth: bool = True,
        dataset_name: str | None = None,
        cache: DecodedImageCache | None = None,
        has_warned: SharedFlag | None = None,
    ) -> None:
        for sample in samples:
            check_sizes(sample, resize_depth)
        self.samples = samples
        self.transform = transform
        self.read_depth = read_depth
        self.with_ground_truth = with_ground_truth
        self.dataset_name = dataset_name
        self.cache = cache
        self._constant_depth_maps: set[Path] = set()
        self._has_warned = SharedFlag() if has_warned is None else has_warned

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        rgb = None if sample.rgb is None else torch.from_numpy(read_rgb(sample.rgb, self.cache))
        depth = None if sample.depth is None else self._read_depth(sample)
        first = depth if rgb is None else rgb
        assert first is not None
        size = (first.shape[-2], first.shape[-1])
        # Zeros stand for what the network does not read.
        rgb = torch.zeros(3, *size, dtype=torch.uint8) if rgb is None else rgb
        depth = torch.zeros(self.read_depth.channels, *size) if depth is None else depth
        if depth.shape[-2:] != size:
            depth = resize(depth, list(size), antialias=True)
        ground_truth = None
        if sample.mask is not None:
            ground_truth = torch.from_numpy(read_mask(sample.mask, self.cache))
        item: Batch = {
            "name": sample.name,
            "dataset": self.dataset_name or sample.dataset,
            "original_size": size,
        }
        item["rgb"], item["depth"], mask = self.transform(rgb, depth, ground_truth)
        # Augmentation made something of nothing.
        item |= {name: item[name].zero_() for name in ("rgb", "depth") if not getattr(sample, name)}
        if mask is not None:
            item["mask"] = mask
            if self.with_ground_truth:
                item["ground_truth"] = ground_truth
        return item

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
                stacklevel=3,
            )
        return torch.from_numpy(depth)

    def _warn_of_constant_depth(self, path: Path) -> None:
        if path not in self._constant_depth_maps:
            self._constant_depth_maps.add(path)
            warnings.warn(
                f"{path}: no two different values (holes and what lies below depth_range aside), "
                "expected a range: zeros are used, so that this sample is seen in RGB only",
                stacklevel=4,
            )
