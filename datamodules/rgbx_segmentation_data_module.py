"""Semantic segmentation of RGB and a second modality in folders, as a LightningDataModule."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from datamodules.augmentation.depth_augmentation import augment_brightness, augment_depth
from datamodules.augmentation.scale_and_crop import DEFAULT_SCALES, ScaleAndCrop
from datamodules.catalogue import find_entry
from datamodules.errors import DataError
from datamodules.folder_data_module import FolderDataModule
from datamodules.held_out import split_held_out
from datamodules.image_size import ImageSize, height_and_width
from datamodules.label_map import LabelMap, named_label_maps, read_label_map
from datamodules.named_folders import name_of, not_given
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import InvalidDepth, reader_of
from datamodules.reading.label_files import check_labels
from datamodules.reading.pair_files import PairedFiles, pair_files
from datamodules.reading.pair_reader import PairReader
from datamodules.reading.pairs_to_predict import pairs_to_predict
from datamodules.reading.sample_lists import pair_split
from datamodules.rgbx_segmentation_dataset import RGBXSegmentationDataset
from mutualformer.errors import UserError

SegmentationModality = Literal["depth", "hha", "thermal", "nir", "event", "lidar"]
_HELD_OUT = 0.1


class RGBXSegmentationDataModule(FolderDataModule):
    """A data set of RGB, another aligned modality and label images, in folders with lists.

    The folder of the data set holds `RGB`, the second modality (`Depth`, `HHA`, `Thermal`, …) and
    `Label`, paired by file stem; `find_layouts` says which other names and layouts are known. A
    split is a list in it (`train.txt`, see `sample_lists`), or a folder (`train`). What the values
    of labels mean is never guessed: see `label_map`. All labels of a stage are read once before it.

    Args:
        root: folder of the data set, whose last part is its name.
        train_splits: lists or folders below `root` to train on.
        val_splits: lists or folders to validate on, and to choose the checkpoint by; None holds out
            a fixed part of the training samples. Either is called `held_out`.
        test_splits: lists or folders to test on, each scored by itself: the first is called like
            the data set, further ones also by their own name (`MFNet_test_night`). None of them may
            hold a sample of training or validation.
        label_map: a name (nyu40, nyu40_from_0, sun37, sun37_from_0, mfnet, pst900), a YAML file, or
            a mapping with `classes`, `void`, `offset` and `colours`, see `read_label_map`; None for
            what the catalogue says of the data set.
        predict_root: folder to predict, with images as above, labels not needed.
        predict_rgb, predict_depth: two files to predict instead.
        image_size: of the network's input in pixels: the side of a square, or `[height, width]`.
        batch_size: samples per training batch and process.
        eval_batch_size: samples per batch in validation, test and prediction.
        num_workers: worker processes per loader.
        validation_fraction: fraction of the training samples held out where there are no
            `val_splits`, in [0, 1), 0.1 by default; 0 for a run without validation.
        seed: seed of the training order.
        second_modality: `depth`, `hha`, `thermal`, `nir`, `event` or `lidar`.
        depth_channels: channels of the second modality: 1 of depth, 3 of HHA, 1 or 3 of others. The
            network's `depth_channels` must be the same.
        near_dark: whether depth maps store near as dark, as all do that hold distances; None for
            what the catalogue says.
        invalid_depth: which stored values of a depth map are holes, see `DepthReader`.
        depth_range: stored values `[low, high]` of the second modality that become 0 and 1; by
            default the smallest and the largest of each image, and 0 and 255 of HHA.
        rotated_bits: whether the 16 bits of depth are rotated left by 3, as in the files that
            SUN RGB-D was released with.
        resize_depth: whether a second modality of another size than RGB is resized to it.
        augment: whether training samples are scaled, cropped, mirrored and changed in value.
        scales: smallest and largest scale of that, [0.5, 1.75] by default.
        cache_dir: folder that keeps the decoded images, see `DecodedImageCache`; None for none.
        corruption: of one modality in test and prediction, see `docs/robustness.md`.
        modality_dropout: probability that a training sample lacks one modality.

    Raises:
        UserError: a setting is outside its range, or does not fit another.
    """

    def __init__(
        self,
        root: str = ".",
        train_splits: list[str] | None = None,
        val_splits: list[str] | None = None,
        test_splits: list[str] | None = None,
        label_map: str | dict[str, Any] | None = None,
        predict_root: str | None = None,
        predict_rgb: str | None = None,
        predict_depth: str | None = None,
        image_size: ImageSize = (480, 640),
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int = 4,
        validation_fraction: float | None = None,
        seed: int = 0,
        second_modality: SegmentationModality = "depth",
        depth_channels: int = 1,
        near_dark: bool | None = None,
        invalid_depth: InvalidDepth = "auto",
        depth_range: tuple[float, float] | None = None,
        rotated_bits: bool = False,
        resize_depth: bool = False,
        augment: bool = True,
        scales: tuple[float, float] | None = None,
        cache_dir: str | None = None,
        corruption: str | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            batch_size, eval_batch_size, num_workers, seed, corruption, modality_dropout
        )
        if val_splits and validation_fraction is not None:
            raise UserError(
                f"validation_fraction is {validation_fraction}, but val_splits is {val_splits}, "
                "expected one of the two: leave the other out"
            )
        fraction = _HELD_OUT if validation_fraction is None else validation_fraction
        if not 0.0 <= fraction < 1.0:
            raise UserError(f"validation_fraction is {fraction}, expected at least 0 and below 1")
        if second_modality not in get_args(SegmentationModality):
            raise UserError(
                f"second_modality is {second_modality!r}, expected one of "
                f"{', '.join(get_args(SegmentationModality))}"
            )
        channels = {"depth": (1,), "hha": (3,)}.get(second_modality, (1, 3))
        if depth_channels not in channels:
            raise UserError(
                f"depth_channels is {depth_channels}, expected {' or '.join(map(str, channels))} "
                f"for {second_modality}, and the same of --model.network.depth_channels"
            )
        for_depth = {"near_dark": near_dark is not None, "invalid_depth": invalid_depth != "auto"}
        for_depth["rotated_bits"] = rotated_bits
        for name, is_given in for_depth.items():
            if is_given and second_modality != "depth":
                raise UserError(
                    f"{name} is given, but the second modality is {second_modality}, expected it "
                    "for depth only: leave it out"
                )
        if scales is not None and not augment:
            raise UserError(f"scales is {list(scales)}, but augment is false: leave it out")
        self.root = Path(root)
        self.dataset_name = name_of(self.root)
        self.splits = {"train": train_splits, "val": val_splits, "test": test_splits}
        self.predict_root = predict_root
        self.predict_files = {"rgb": predict_rgb, "depth": predict_depth}
        self.image_size = height_and_width(image_size)
        self.validation_fraction = fraction
        self.label_map = self._find_label_map(label_map)
        self.second_modality = second_modality
        self.resize_depth = resize_depth
        self.cache = None if cache_dir is None else DecodedImageCache(Path(cache_dir))
        near = {None: None, True: [self.dataset_name], False: []}[near_dark]
        read_depth = reader_of(
            second_modality,
            depth_channels,
            depth_range,
            near_dark_sets=near,
            invalid_depth=invalid_depth,
            rotated_bits=rotated_bits,
        )
        self.read_pair = PairReader(read_depth, self.cache)
        self.transform = None
        if augment:
            change = augment_depth if second_modality == "depth" else augment_brightness
            self.transform = ScaleAndCrop(self.image_size, change, scales or DEFAULT_SCALES)

    def _find_label_map(self, given: str | dict[str, Any] | None) -> LabelMap:
        entry = find_entry(self.dataset_name)
        if given is None and (entry is None or entry.labels is None):
            raise UserError(
                f"label_map is not given, and {self.dataset_name} is no data set of the catalogue "
                f"that has one, expected one of {', '.join(named_label_maps())}, or a mapping: "
                "give --data.label_map, such as '{classes: [road, car], void: 255, offset: 0}'"
            )
        if given is None:
            assert entry is not None and entry.labels is not None
            given = entry.labels
        return read_label_map(given)

    def _find_test_datasets(self) -> list[PairedModalityDataset]:
        return [self._dataset(samples) for samples in self._samples_of("test").values()]

    def _find_predict_dataset(self) -> PairedModalityDataset:
        samples = pairs_to_predict(
            self.predict_root, self.predict_files, self.modalities, self._pair_folder
        )
        return self._dataset(samples)

    def _setup_training(self) -> None:
        training = [x for samples in self._samples_of("train").values() for x in samples]
        _refuse_shared("train_splits", training, "train_splits", [])
        if self.splits["val"]:
            held_out = [x for samples in self._samples_of("val").values() for x in samples]
        else:
            training, held_out = split_held_out(training, self.validation_fraction)
        _refuse_shared("train_splits", training, "val_splits", held_out)
        if self.splits["test"]:
            for samples in self._samples_of("test").values():
                _refuse_shared("test_splits", samples, "train_splits or val_splits", training)
                _refuse_shared("test_splits", samples, "train_splits or val_splits", held_out)
        self.train_dataset = self._dataset(training, self.transform)
        self.val_dataset = self._dataset(held_out, name="held_out") if held_out else None

    def _samples_of(self, kind: str) -> dict[str, list[PairedFiles]]:
        splits = self.splits[kind]
        if not splits:
            raise not_given(f"{kind}_splits", "[LIST,…]")
        found: dict[str, list[PairedFiles]] = {}
        for index, split in enumerate(splits):
            stem = Path(split).with_suffix("").name if split.endswith(".txt") else Path(split).name
            name = self.dataset_name if index == 0 else f"{self.dataset_name}_{stem}"
            if name in found:
                raise DataError(f"{kind}_splits names {split} twice, expected each split once")
            found[name] = pair_split(self.root, split, name, self.second_modality, self.modalities)
        return found

    def _pair_folder(self, folder: Path) -> list[PairedFiles]:
        name = name_of(folder.resolve())
        return pair_files(name, folder, True, self.second_modality, self.modalities)

    def _dataset(
        self,
        samples: Sequence[PairedFiles],
        transform: ScaleAndCrop | None = None,
        name: str | None = None,
    ) -> RGBXSegmentationDataset:
        dataset = RGBXSegmentationDataset(
            samples,
            self.image_size,
            self.label_map,
            self.read_pair,
            transform,
            self.resize_depth,
            name,
        )
        # After the sizes, which take no time. Only one process of a machine need say it.
        check_labels([x.mask for x in samples if x.mask is not None], self.label_map)
        return dataset


def _refuse_shared(
    kind: str, samples: Sequence[PairedFiles], other_kind: str, others: Sequence[PairedFiles]
) -> None:
    """Refuse a sample that is in two splits: what was trained or chosen on it cannot be tested."""

    def files(sample: PairedFiles) -> str:
        return os.path.realpath(sample.mask or sample.rgb or sample.depth or "")

    there = {files(sample) for sample in others}
    shared = [sample.name for sample in samples if files(sample) in there]
    if shared:
        raise DataError(
            f"{len(shared)} sample(s) of {kind} are in {other_kind} too ({shared[0]}), expected "
            "none: what was trained or chosen on a sample cannot be tested on it. Take them out of "
            "one of the lists, or give --data.test_splits to test alone"
        )
