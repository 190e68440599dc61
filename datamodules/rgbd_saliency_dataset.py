"""RGB-D saliency samples read from files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from torchvision.transforms.v2.functional import resize

from datamodules.augmentation.transforms import EvalTransform, TrainTransform
from datamodules.batch import Batch
from datamodules.errors import DataError
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.dataset_folder import PairedFiles
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader
from datamodules.reading.image_files import read_mask, read_rgb
from datamodules.reading.open_image import read_size


class RGBDSaliencyDataset(PairedModalityDataset):
    """RGB image, depth map (near = 1) and mask of each sample, as described in `collate`.

    The second modality is called `depth` whatever it is.

    The sizes of all files are compared when the data set is created, from their headers.

    Args:
        samples: the files, see `pair_files`.
        transform: brings a sample to the network's input size.
        read_depth: reads the second modality of a sample.
        resize_depth: whether a depth map of another size than its RGB image is resized to it.
            Otherwise it is an error.
        with_ground_truth: whether items also hold `ground_truth`, the mask at its own size.
        dataset_name: name for all items instead of those of their data sets.
        cache: keeps decoded files; what is read is the same with it and without.

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
    ) -> None:
        for sample in samples:
            _check_sizes(sample, resize_depth)
        self.samples = samples
        self.transform = transform
        self.read_depth = read_depth
        self.with_ground_truth = with_ground_truth
        self.dataset_name = dataset_name
        self.cache = cache
        self._constant_depth_maps: set[Path] = set()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        rgb = read_rgb(sample.rgb, self.cache)
        size = (rgb.shape[-2], rgb.shape[-1])
        depth = self.read_depth(sample.depth, sample.dataset, self.cache)
        if depth.max() == 0:
            self._warn_of_constant_depth(sample.depth)
        if depth.shape[-2:] != size:
            depth = resize(depth, list(size), antialias=True)
        ground_truth = None if sample.mask is None else read_mask(sample.mask, self.cache)
        item: Batch = {
            "name": sample.name,
            "dataset": self.dataset_name or sample.dataset,
            "original_size": size,
        }
        item["rgb"], item["depth"], mask = self.transform(rgb, depth, ground_truth)
        if mask is not None:
            item["mask"] = mask
            if self.with_ground_truth:
                item["ground_truth"] = ground_truth
        return item

    def _warn_of_constant_depth(self, path: Path) -> None:
        if path not in self._constant_depth_maps:
            self._constant_depth_maps.add(path)
            warnings.warn(
                f"{path}: no two different values (holes and what lies below depth_range aside), "
                "expected a range: zeros are used, so that this sample is seen in RGB only",
                stacklevel=3,
            )


def _check_sizes(sample: PairedFiles, resize_depth: bool) -> None:
    expected = read_size(sample.rgb)
    for path, kind in ((sample.depth, "depth map"), (sample.mask, "mask")):
        if path is not None and not (kind == "depth map" and resize_depth):
            problem = describe_size(path, kind, read_size(path), sample.rgb, expected)
            if problem:
                raise DataError(problem)


def describe_size(
    path: Path, kind: str, size: tuple[int, int], rgb: Path, expected: tuple[int, int]
) -> str:
    """Say what is wrong with the size of a depth map or a mask; empty if it is that of RGB."""
    if size == expected:
        return ""
    remedy = "resize the file"
    if kind == "depth map":
        remedy += ", or give --data.resize_depth=true"
    if size == expected[::-1]:
        remedy = f"turn it, or take EXIF data out of {rgb.name} if that turns it wrongly"
    return (
        f"{path}: the {kind} has {size[0]} × {size[1]} pixels (height × width), expected "
        f"{expected[0]} × {expected[1]} as in {rgb.parent.name}/{rgb.name}: {remedy}"
    )
