"""Samples of RGB, a second modality and a label image, read from files."""

from collections.abc import Sequence

import torch

from datamodules.augmentation.scale_and_crop import ScaleAndCrop, resize_label
from datamodules.augmentation.transforms import EvalTransform
from datamodules.batch import Batch
from datamodules.errors import DataError
from datamodules.image_size import height_and_width
from datamodules.label_map import LabelMap
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.label_files import read_label
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pair_reader import PairReader
from datamodules.reading.pair_sizes import check_sizes


class RGBXSegmentationDataset(PairedModalityDataset):
    """RGB image, second modality and `label` of each sample, uint8 `(H, W)` with 255 for void.

    Items without a training transform also hold `ground_truth`, the label at its own size.

    Args:
        samples: the files, see `pair_files`; the label stands for the mask.
        image_size: of the network's input.
        label_map: what values of labels mean.
        read_pair: reads the images of a sample.
        transform: of training samples; None for images resized as a whole.
        resize_depth: whether a second modality of another size than RGB is resized to it.
        dataset_name: name for all items instead of that of their data set.

    Raises:
        DataError: on creation, if a file has no readable header or another size than the first; on
            access, if one is broken or a label holds an unknown value.
    """

    def __init__(
        self,
        samples: Sequence[PairedFiles],
        image_size: tuple[int, int],
        label_map: LabelMap,
        read_pair: PairReader,
        transform: ScaleAndCrop | None = None,
        resize_depth: bool = False,
        dataset_name: str | None = None,
    ) -> None:
        for sample in samples:
            check_sizes(sample, resize_depth, "label")
        self.samples = samples
        self.image_size = height_and_width(image_size)
        self.label_map = label_map
        self.read_pair = read_pair
        self.transform = transform
        self.resize = EvalTransform(image_size)
        self.dataset_name = dataset_name

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        sample = self.samples[index]
        rgb, depth = self.read_pair(sample)
        item: Batch = {
            "name": sample.name,
            "dataset": self.dataset_name or sample.dataset,
            "original_size": (rgb.shape[-2], rgb.shape[-1]),
        }
        label = None
        if sample.mask is not None:
            label = torch.from_numpy(read_label(sample.mask, self.label_map, self.read_pair.cache))
        if self.transform is not None:
            if label is None:
                raise DataError(f"{sample.name}: no label, expected one to train on: add it")
            item["rgb"], item["depth"], item["label"] = self.transform(rgb, depth, label)
        else:
            item["rgb"], item["depth"], _ = self.resize(rgb, depth, None)
            if label is not None:
                small = resize_label(label.numpy(), self.image_size)
                item |= {"label": torch.from_numpy(small), "ground_truth": label}
        # Augmentation made something of nothing.
        return item | {x: item[x].zero_() for x in ("rgb", "depth") if not getattr(sample, x)}
