"""Saliency maps and ground truths on disk: which belong together, and how a pair is read."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import images_by_stem, shorten
from datamodules.reading.image_files import read_mask, read_saliency_map
from lightning_modules.metrics.quantisation import quantise

# A map may be resized to its ground truth if the two sides are scaled alike up to this ratio.
_MAX_DISTORTION = 1.05


@dataclass(frozen=True)
class MapSet:
    """A folder of predictions, paired by stem with the ground truths of a data set.

    Attributes:
        name: name of the data set.
        predictions: folder of the predictions.
        ground_truths: folder of the ground truths.
        pairs: stem, prediction, ground truth; sorted by stem.
        missing_predictions: stems of ground truths without a prediction.
        missing_ground_truths: stems of predictions without a ground truth.
    """

    name: str
    predictions: Path
    ground_truths: Path
    pairs: list[tuple[str, Path, Path]]
    missing_predictions: list[str]
    missing_ground_truths: list[str]


def pair_maps(name: str, predictions: Path, ground_truths: Path, allow_missing: bool) -> MapSet:
    """Pair two folders by file stem; extensions may differ, other files are ignored.

    Args:
        name: name of the data set.
        predictions: folder of the predictions.
        ground_truths: folder of the ground truths.
        allow_missing: whether to leave out stems that only one folder has.

    Raises:
        DataError: a folder is missing, has no images or two of one stem; no stem is in both
            folders; or one is in one only and `allow_missing` is false.
    """
    for folder in (predictions, ground_truths):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder, expected one of images: check the path")
    maps, masks = images_by_stem(predictions), images_by_stem(ground_truths)
    stems = sorted(maps.keys() & masks.keys())
    map_set = MapSet(
        name,
        predictions,
        ground_truths,
        [(stem, maps[stem], masks[stem]) for stem in stems],
        missing_predictions=sorted(masks.keys() - maps.keys()),
        missing_ground_truths=sorted(maps.keys() - masks.keys()),
    )
    if not stems:
        raise DataError(
            f"{predictions} and {ground_truths} have no file stem in common "
            f"({min(maps)} …, {min(masks)} …), expected predictions named like "
            "ground truths: rename them"
        )
    problems = [
        f"{len(missing)} of {total} {what} ({shorten(missing)})"
        for missing, total, what in (
            (
                map_set.missing_predictions,
                len(masks),
                f"ground truths in {ground_truths} have no prediction in {predictions}",
            ),
            (
                map_set.missing_ground_truths,
                len(maps),
                f"predictions in {predictions} have no ground truth in {ground_truths}",
            ),
        )
        if missing
    ]
    if problems and not allow_missing:
        raise DataError(
            f"{' and '.join(problems)}, expected the same stems in both: add them, or give "
            "--allow-missing, which scores what both have, and says so"
        )
    return map_set


def read_pair(prediction: Path, ground_truth: Path) -> tuple[Tensor, Tensor]:
    """Read a pair, with the prediction resized to its ground truth.

    Returns:
        The prediction, uint8 `(1, H, W)`, and the mask, bool `(1, H, W)`.

    Raises:
        DataError: a file cannot be read or is not what it should be, or the sizes do not fit.
    """
    probabilities, mask = read_saliency_map(prediction), read_mask(ground_truth)
    size = mask.shape[-2], mask.shape[-1]
    height, width = (a / b for a, b in zip(probabilities.shape[-2:], size, strict=True))
    if max(height / width, width / height) > _MAX_DISTORTION:
        raise DataError(
            f"{prediction}: {_describe_size(probabilities)}, expected the proportions of its "
            f"ground truth {ground_truth}, {_describe_size(mask)}: resize it to that yourself, if "
            "it is of the whole image"
        )
    return quantise(probabilities, size), mask


def _describe_size(image: Tensor) -> str:
    return f"{image.shape[-1]} x {image.shape[-2]} pixels"
