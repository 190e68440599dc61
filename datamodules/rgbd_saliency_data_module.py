"""RGB-D saliency data sets in folders as a LightningDataModule."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from datamodules.augmentation.depth_augmentation import augment_brightness, augment_depth
from datamodules.augmentation.transforms import EvalTransform, TrainTransform
from datamodules.catalogue import find_entry
from datamodules.errors import DataError
from datamodules.folder_data_module import FolderDataModule
from datamodules.held_out import split_held_out
from datamodules.image_size import ImageSize, height_and_width
from datamodules.named_folders import (
    folders_of,
    name_of,
    name_of_owner,
    named_training_set,
)
from datamodules.paired_modality_data_module import PairedModalityDataset
from datamodules.reading.decoded_image_cache import DecodedImageCache
from datamodules.reading.depth_maps import InvalidDepth, reader_of
from datamodules.reading.pair_files import PairedFiles, pair_files
from datamodules.reading.pairs_to_predict import pairs_to_predict
from datamodules.rgbd_saliency_dataset import RGBDSaliencyDataset
from datamodules.shared_flag import SharedFlag
from mutualformer.errors import UserError

SecondModality = Literal["depth", "thermal", "nir"]


class RGBDSaliencyDataModule(FolderDataModule):
    """Saliency data sets of RGB and depth, or another aligned modality, in folders.

    The folder of a data set holds `RGB`, `depth` and `GT`, paired by file stem; `find_layouts` says
    which other names and layouts are known. Validation samples are a fixed part of the training
    data, called `held_out`; test sets are used in `test` alone. Depth is read by `DepthReader`: in
    [0, 1], near = 1, holes = 0. What the network does not read (`modalities`) is not looked for,
    and zeros take its place.

    Another second modality takes the place of depth, in batches too: thermal images, from the
    folder `T`, or near-infrared ones, from `NIR`. They have neither polarity nor holes.

    Args:
        root: folder that the folders of the data sets are relative to.
        train_sets: folders of the training sets below `root`, each named by its last part
            (`train/NJU2K` is called NJU2K); or a mapping from names to folders, relative to `root`
            or absolute; or the name of a training set in use, `2185` or `2985`, whose folders
            are in `catalogue.yaml`.
        test_sets: the test sets, as a list or a mapping. In `fit`, none may be a training set too.
        predict_root: folder to predict, with `RGB`, `depth` and perhaps `GT`.
        predict_rgb, predict_depth: two files to predict instead, of any names. The map is called
            like the first, and the data set like the folder of that.
        image_size: of the network's input in pixels: the side of a square, or `[height, width]`.
        batch_size: samples per training batch and process.
        eval_batch_size: samples per batch in validation, test and prediction.
        num_workers: worker processes per loader.
        validation_fraction: fraction of the training data held out, in [0, 1); 0 for a run
            without validation. At least one sample is held out otherwise.
        seed: seed of the training order. It does not touch which samples are held out.
        near_dark_sets: names (or folders, whose last part counts) of the data sets whose depth
            maps store near as dark. By default those of which the catalogue says so, under any of
            their names; `mutualformer data check` tells whether that is true of the copy at hand.
            Of depth only.
        resize_depth: whether a depth map of another size than its RGB image is resized to it.
            Otherwise it is an error.
        augment: whether training samples are cropped, flipped, rotated and changed in value: RGB
            in brightness, contrast and colour, depth as in `augment_depth`.
        invalid_depth: which stored values of a depth map are holes: `auto` (none in files of 8
            bits, zero in others), `none`, `zero`, `max` or `both`; or a mapping from names of data
            sets to one of these. Of depth only.
        depth_range: stored values `[low, high]` of the second modality that become 0 and 1; by
            default the smallest and the largest of each image.
        second_modality: `depth`, `thermal` or `nir`.
        depth_channels: channels of the second modality, 1 or 3; depth has 1. The network's
            `depth_channels` must be the same.
        cache_dir: folder that keeps the decoded images, see `DecodedImageCache`; `None` for none.
        corruption: of one modality in test and prediction, `MODALITY:KIND:SEVERITY`, such as
            `depth:noise:0.5`, see `docs/robustness.md`.
        modality_dropout: probability that a training sample lacks one modality, chosen at random.

    Raises:
        ValueError: a number is outside its range.
    """

    def __init__(
        self,
        root: str = ".",
        train_sets: int | str | list[str] | dict[str, str] | None = None,
        test_sets: list[str] | dict[str, str] | None = None,
        predict_root: str | None = None,
        predict_rgb: str | None = None,
        predict_depth: str | None = None,
        image_size: ImageSize = 352,
        batch_size: int = 8,
        eval_batch_size: int = 8,
        num_workers: int = 4,
        validation_fraction: float = 0.1,
        seed: int = 0,
        near_dark_sets: Sequence[str] | None = None,
        resize_depth: bool = False,
        augment: bool = True,
        invalid_depth: InvalidDepth | dict[str, InvalidDepth] = "auto",
        depth_range: tuple[float, float] | None = None,
        second_modality: SecondModality = "depth",
        depth_channels: int = 1,
        cache_dir: str | None = None,
        corruption: str | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__(
            batch_size, eval_batch_size, num_workers, seed, corruption, modality_dropout
        )
        if not 0.0 <= validation_fraction < 1.0:
            raise UserError(
                f"validation_fraction is {validation_fraction}, expected at least 0 and below 1"
            )
        self.root = Path(root)
        self.train_sets = named_training_set(train_sets)
        self.test_sets = test_sets
        self.predict_root = predict_root
        self.predict_files = {"rgb": predict_rgb, "depth": predict_depth}
        self.image_size = height_and_width(image_size)
        self.validation_fraction = validation_fraction
        if second_modality not in get_args(SecondModality):
            raise UserError(
                f"second_modality is {second_modality!r}, expected one of "
                f"{', '.join(get_args(SecondModality))}"
            )
        if depth_channels not in ((1,) if second_modality == "depth" else (1, 3)):
            raise UserError(
                f"depth_channels is {depth_channels}, expected 1 for depth, and 1 or 3 for another "
                "--data.second_modality"
            )
        if second_modality != "depth" and invalid_depth != "auto":
            raise UserError(
                f"invalid_depth is {invalid_depth!r}, but the second modality is "
                f"{second_modality}, expected it for depth only: leave it out"
            )
        self.second_modality = second_modality
        names = None if near_dark_sets is None else [name_of(name) for name in near_dark_sets]
        if second_modality == "depth":
            if not isinstance(invalid_depth, str):
                invalid_depth = {name_of(name): holes for name, holes in invalid_depth.items()}
                self._check_names("invalid_depth", invalid_depth)
            self._check_names("near_dark_sets", names or ())
        self.read_depth = reader_of(
            second_modality,
            depth_channels,
            depth_range,
            near_dark_sets=names,
            invalid_depth=invalid_depth,
        )
        self.resize_depth = resize_depth
        self.augment = augment
        self.cache = None if cache_dir is None else DecodedImageCache(Path(cache_dir))
        self._has_warned = SharedFlag()

    def _find_test_datasets(self) -> list[PairedModalityDataset]:
        return [
            self._dataset(self._pair_files(name, folder))
            for name, folder in folders_of(self.root, "test", self.test_sets).items()
        ]

    def _find_predict_dataset(self) -> PairedModalityDataset:
        samples = pairs_to_predict(
            self.predict_root,
            self.predict_files,
            self.modalities,
            lambda folder: self._pair_files(name_of(folder.resolve()), folder, True),
        )
        return self._dataset(samples)

    def _check_names(self, parameter: str, names: Iterable[str]) -> None:
        """Refuse the name of a data set that is not in use: what it says would be lost."""
        folders = [*(self.train_sets or ()), *(self.test_sets or ())]
        used = {name_of(self.root / folder) for folder in folders}
        if self.predict_root is not None:
            used.add(name_of(Path(self.predict_root).resolve()))
        if files := [file for file in self.predict_files.values() if file is not None]:
            used.add(name_of_owner(*files))
        for name in set(names) - used:
            entry = find_entry(name)
            other_name = next((each for each in used if entry and find_entry(each) == entry), None)
            if other_name is None and entry is not None:
                continue  # a recipe may speak of more public data sets than this run uses
            raise UserError(
                f"{parameter} names a data set {name}, expected one of those in use "
                f"({', '.join(sorted(used)) or 'none'})"
                + (f": call it {other_name} there too" if other_name else "")
            )

    def _setup_training(self) -> None:
        folders = folders_of(self.root, "train", self.train_sets)
        self._refuse_to_train_on_test_sets(folders)
        samples: list[PairedFiles] = []
        for name, folder in folders.items():
            samples += self._pair_files(name, folder)
        training, held_out = split_held_out(samples, self.validation_fraction)
        transform = None
        if self.augment:
            is_depth = self.second_modality == "depth"
            transform = TrainTransform(
                self.image_size, augment_depth if is_depth else augment_brightness
            )
        self.train_dataset = self._dataset(training, transform, with_ground_truth=False)
        self.val_dataset = self._dataset(held_out, name="held_out") if held_out else None

    def _pair_files(
        self, name: str, folder: Path, mask_is_optional: bool = False
    ) -> list[PairedFiles]:
        samples = pair_files(name, folder, mask_is_optional, self.second_modality, self.modalities)
        if samples and samples[0].rgb == samples[0].depth:
            warnings.warn(
                f"{folder}: no images of {self.second_modality}; the fourth channel of the RGB "
                "images is read as such: give --data.second_modality if it is another",
                stacklevel=3,
            )
        return samples

    def _dataset(
        self,
        samples: list[PairedFiles],
        transform: TrainTransform | None = None,
        with_ground_truth: bool = True,
        name: str | None = None,
    ) -> RGBDSaliencyDataset:
        return RGBDSaliencyDataset(
            samples,
            transform or EvalTransform(self.image_size),
            self.read_depth,
            self.resize_depth,
            with_ground_truth,
            name,
            self.cache,
            self._has_warned,
        )

    def _refuse_to_train_on_test_sets(self, training: Mapping[str, Path]) -> None:
        if not self.test_sets:
            return
        # The folders themselves, whatever they are called and whichever links lead there.
        names = {os.path.realpath(folder): name for name, folder in training.items()}
        for name, folder in folders_of(self.root, "test", self.test_sets).items():
            if os.path.realpath(folder) in names:
                raise DataError(
                    f"{folder}: the data set {name} is in test_sets and, as "
                    f"{names[os.path.realpath(folder)]}, in train_sets: what is trained and "
                    "selected on it cannot be tested on it. Leave it out of one of the two; to see "
                    "whether a network fits its own training pairs, give --data.test_sets to test "
                    "alone"
                )
