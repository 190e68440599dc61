"""Score index images on disk against label images, by one confusion matrix per image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from datamodules.errors import DataError
from datamodules.label_map import LabelMap
from datamodules.reading.label_files import read_label, read_label_values
from lightning_modules.evaluation.map_files import MapSet
from lightning_modules.metrics.confusion_records import ConfusionRecords
from lightning_modules.metrics.confusion_scores import count_confusion
from mutualformer.ignored_label import IGNORED


def score_labels(
    map_sets: Sequence[MapSet], label_map: LabelMap, offset: int | None = None
) -> ConfusionRecords:
    """Score every pair of all sets, with a progress bar on standard error.

    Args:
        map_sets: the sets.
        label_map: what the values of the labels mean.
        offset: value of class 0 in the predictions; by default, as in the labels.

    Returns:
        The counts of all images, in the order of the sets.

    Raises:
        DataError: a file cannot be read, is of another size than its label, or holds a value that
            is no class where the label counts.
    """
    own = label_map.offset if offset is None else offset
    parts = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("Scoring", total=sum(len(x.pairs) for x in map_sets))
        for map_set in map_sets:
            confusions = []
            for _, prediction, truth in map_set.pairs:
                label = read_label(truth, label_map)
                classes = _read_prediction(prediction, truth, label, label_map, own)
                confusions.append(
                    count_confusion(
                        torch.from_numpy(classes), torch.from_numpy(label), label_map.num_classes
                    )
                )
                progress.advance(task)
            names = [stem for stem, _, _ in map_set.pairs]
            parts.append(
                ConfusionRecords.from_confusions(map_set.name, names, confusions, label_map.classes)
            )
    return parts[0].concatenate(parts)


def _read_prediction(
    path: Path, truth: Path, label: NDArray[np.uint8], label_map: LabelMap, offset: int
) -> NDArray[np.int64]:
    classes = read_label_values(path, label_map).astype(np.int64) - offset
    if classes.shape != label.shape:
        raise DataError(
            f"{path}: {classes.shape[0]} × {classes.shape[1]} pixels (height × width), expected "
            f"{label.shape[0]} × {label.shape[1]} as in {truth}: classes cannot be interpolated, "
            "so write predictions at the size of the labels"
        )
    strange = ((classes < 0) | (classes >= label_map.num_classes)) & (label != IGNORED)
    if strange.any():
        value = int(classes[strange][0]) + offset
        other, last = 0 if offset else 1, offset + label_map.num_classes - 1
        raise DataError(
            f"{path}: the value {value} in {strange.mean():.2%} of its pixels is no class where "
            f"the label has one, expected {offset} to {last}: if class 0 is {other} there, give "
            f"--prediction-offset {other}"
        )
    return classes
