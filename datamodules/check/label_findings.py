"""What is found of the labels of a data set as a whole, and of its splits together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datamodules.check.find_datasets import FoundDataset
from datamodules.check.finding import Finding
from datamodules.label_map import UNKNOWN, LabelMap
from datamodules.reading.dataset_folder import shorten, show
from mutualformer.ignored_label import IGNORED

Counts = NDArray[np.int64]
# More void than this leaves little to learn, and is seldom meant.
_MOST_VOID = 0.5


def check_label_values(dataset: FoundDataset, label_map: LabelMap, counts: Counts) -> list[Finding]:
    """Say whether the values of a data set look like those of another map.

    Args:
        dataset: which one.
        label_map: that its labels were read by.
        counts: pixels by class, `(256,)`, over all labels, see `TruthSeen`.
    """
    total = counts.sum()
    if not total:
        return []
    findings = []
    void = counts[IGNORED] / total
    if void > _MOST_VOID:
        findings.append(
            Finding(
                dataset.label,
                "void",
                f"{show(dataset.folder)}: {void:.0%} of the pixels are void, which neither loss "
                f"nor scores count: see that the map is right ({label_map.describe()})",
                is_error=False,
            )
        )
    of_classes = counts[: label_map.num_classes]
    if label_map.void and not counts[IGNORED] and not counts[UNKNOWN] and not of_classes[-1]:
        findings.append(
            Finding(
                dataset.label,
                "label",
                f"{show(dataset.folder)}: no pixel is void, and none is {label_map.classes[-1]}, "
                f"the last class, as if all values were one off ({label_map.describe()}): see in "
                "the contact sheet whether colours mean what they should, or give the right "
                "--data.label_map",
                is_error=False,
            )
        )
    return findings


def check_classes_of_splits(
    label_map: LabelMap, of_splits: Sequence[tuple[FoundDataset, Counts]]
) -> list[Finding]:
    """Say which classes no training image has.

    Args:
        label_map: of these labels.
        of_splits: the splits of one data set, and their pixels by class.
    """
    training = [counts for dataset, counts in of_splits if dataset.split == "train"]
    if not training:
        return []
    seen = np.sum(training, axis=0)[: label_map.num_classes] > 0
    missing = [label_map.classes[index] for index in np.flatnonzero(~seen)]
    if not missing or not seen.any():
        return []
    first = next(dataset for dataset, _ in of_splits if dataset.split == "train")
    elsewhere = np.sum([x for d, x in of_splits if d.split != "train"] or [0 * training[0]], axis=0)
    tested = [label_map.classes[i] for i in np.flatnonzero(~seen) if elsewhere[i]]
    more = f", of which {shorten(tested)} are in other splits, where nothing can tell them"
    return [
        Finding(
            first.label,
            "classes",
            f"{show(first.folder)}: {len(missing)} of {label_map.num_classes} classes are in no "
            f"training image ({shorten(missing, 10)}){more if tested else ''}: complete the "
            "training set, or use a map without them",
            is_error=False,
        )
    ]
