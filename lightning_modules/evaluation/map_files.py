"""Saliency maps and ground truths on disk: which belong together, and how a pair is read."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
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
        endings: what was left out of the stems of predictions or ground truths to pair them.
    """

    name: str
    predictions: Path
    ground_truths: Path
    pairs: list[tuple[str, Path, Path]]
    missing_predictions: list[str]
    missing_ground_truths: list[str]
    endings: list[str]


def pair_maps(name: str, predictions: Path, ground_truths: Path, allow_missing: bool) -> MapSet:
    """Pair two folders by file stem; extensions may differ, other files are ignored.

    Where no stem is in both, an ending that all files of a folder share is left out, if that makes
    pairs: `a_ICON.png` and `b_ICON.png` belong to `a.png` and `b.png`, or to `a_gt.png` and
    `b_gt.png`.

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
    endings: list[str] = []
    if not maps.keys() & masks.keys():
        maps, masks, endings = _without_endings(maps, masks)
    stems = sorted(maps.keys() & masks.keys())
    map_set = MapSet(
        name,
        predictions,
        ground_truths,
        [(stem, maps[stem], masks[stem]) for stem in stems],
        missing_predictions=sorted(masks.keys() - maps.keys()),
        missing_ground_truths=sorted(maps.keys() - masks.keys()),
        endings=endings,
    )
    if not stems:
        raise DataError(
            f"{predictions} and {ground_truths} have no file stem in common "
            f"({min(maps)} …, {min(masks)} …), expected predictions named like "
            "ground truths, or alike but for an ending such as _ICON that all files of a folder "
            "share: rename them"
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


def _without_endings(
    maps: dict[str, Path], masks: dict[str, Path]
) -> tuple[dict[str, Path], dict[str, Path], list[str]]:
    """Leave out the endings after which most stems are in both folders, if any are."""
    best: tuple[dict[str, Path], dict[str, Path], list[str]] = maps, masks, []
    most = 0
    for of_maps in _shared_endings(maps):
        for of_masks in _shared_endings(masks):
            cut = [
                {stem.removesuffix(ending): path for stem, path in files.items()}
                for files, ending in ((maps, of_maps), (masks, of_masks))
            ]
            # The shortest ending of several that serve comes first.
            if (found := len(cut[0].keys() & cut[1].keys())) > most:
                endings = [ending for ending in (of_maps, of_masks) if ending]
                best, most = (cut[0], cut[1], endings), found
    return best


def _shared_endings(stems: Iterable[str]) -> list[str]:
    """Return what all stems end in, from a separator on, shortest first, after nothing.

    >>> _shared_endings(["1_b_ICON", "22_b_ICON"]), _shared_endings(["10", "20"])
    (['', '_ICON', '_b_ICON'], [''])
    """
    shared = os.path.commonprefix([stem[::-1] for stem in stems])[::-1]
    shared = shared if all(len(stem) > len(shared) for stem in stems) else shared[1:]
    return ["", *(shared[i:] for i in reversed(range(len(shared))) if shared[i] in "_-. ")]


def read_pair(prediction: Path, ground_truth: Path) -> tuple[Tensor, Tensor]:
    """Read a pair, with the prediction resized to its ground truth.

    Returns:
        The prediction, uint8 `(1, H, W)`, and the mask, bool `(1, H, W)`.

    Raises:
        DataError: a file cannot be read or is not what it should be, or the sizes do not fit.
    """
    probabilities = torch.from_numpy(read_saliency_map(prediction))
    mask = torch.from_numpy(read_mask(ground_truth))
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
