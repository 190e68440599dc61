"""RGB-D saliency samples read from files."""

from collections.abc import Sequence

import torch

from datamodules.augmentation.transforms import EvalTransform, TrainTransform
from datamodules.batch import Batch
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import DepthReader
from datamodules.reading.image_files import read_mask
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pair_reader import PairReader
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
        self.read_pair = PairReader(read_depth, cache, has_warned)
        self.with_ground_truth = with_ground_truth
        self.dataset_name = dataset_name
        self.cache = cache

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        rgb, depth = self.read_pair(sample)
        ground_truth = None
        if sample.mask is not None:
            ground_truth = torch.from_numpy(read_mask(sample.mask, self.cache))
        item: Batch = {
            "name": sample.name,
            "dataset": self.dataset_name or sample.dataset,
            "original_size": (rgb.shape[-2], rgb.shape[-1]),
        }
        item["rgb"], item["depth"], mask = self.transform(rgb, depth, ground_truth)
        # Augmentation made something of nothing.
        item |= {name: item[name].zero_() for name in ("rgb", "depth") if not getattr(sample, name)}
        if mask is not None:
            item["mask"] = mask
            if self.with_ground_truth:
                item["ground_truth"] = ground_truth
        return item
