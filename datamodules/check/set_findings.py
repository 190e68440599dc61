"""What is found of a data set as a whole, and not of one of its files."""

import re
from collections.abc import Sequence
from pathlib import Path

from datamodules.check.find_datasets import FoundDataset
from datamodules.check.finding import Finding
from datamodules.check.inspect_sample import Inspection
from datamodules.check.polarity import Polarity
from datamodules.check.shift import Shift
from datamodules.reading.dataset_folder import shorten, show
from datamodules.reading.depth_outliers import Outliers, choose_invalid_depth

# Where the bulk keeps less of the range than this, a network sees next to nothing of it.
_MIN_VISIBLE_SHARE = 0.1


_MOST_ALIKE = 3


def merge_alike(inspections: Sequence[Inspection]) -> list[Finding]:
    """Return the findings of single files, but one for all that say the same of many files."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for inspection in inspections:
        for finding in inspection.findings:
            # The same but for names of files and numbers.
            names = re.escape(inspection.name) + r"\.\w+"
            text = re.sub(rf"(?<!\w){names}|\d+", "", finding.message)
            groups.setdefault((finding.kind, text), []).append(finding)
    merged = []
    for group in groups.values():
        if len(group) <= _MOST_ALIKE:
            merged += group
            continue
        files = [each.message.partition(": ")[0] for each in group]
        names = shorten([Path(file).name for file in files[1:]])
        message = f"{group[0].message} (and likewise of {names})"
        merged.append(group[0]._replace(message=message, files=tuple(files)))
    return merged


def expected_counts(dataset: FoundDataset) -> tuple[int, ...]:
    """Return numbers of pairs that the catalogue expects, the usual one first; may be empty."""
    entry, split = dataset.entry, dataset.split
    return entry.counts.get(split, ()) if entry and split else ()


def check_count(dataset: FoundDataset, count: int) -> list[Finding]:
    """Compare the number of complete pairs with the catalogue."""
    expected = expected_counts(dataset)
    if dataset.entry is None or not expected or count == expected[0]:
        return []
    known = count in expected
    others = f" ({', '.join(map(str, expected[1:]))} in other copies)" if expected[1:] else ""
    message = (
        f"{show(dataset.folder)}: {count} complete pairs, {expected[0]} in {dataset.entry.name}"
        f" {dataset.split}{others}: "
        + (
            "scores are comparable with those on as many pairs only"
            if known
            else "complete it; scores on a part of it are not comparable"
        )
    )
    return [Finding(dataset.label, "count", message, is_error=not known)]


def check_polarity(
    dataset: FoundDataset, polarity: Polarity, declared: str | None
) -> list[Finding]:
    """Compare the polarity that the images show with the one that is declared.

    It is an error only where the catalogue declares it: the objects of other data sets may be
    anything, holes too.
    """
    where = f"{_name_of_second(dataset)}: "
    if declared is not None and polarity.rests_on == "objects against ground":
        message = (
            f"{where}objects and ground contradict each other on which end is near: either the "
            "objects are farther than what surrounds them, as holes are, or the ground is not "
            f"nearer the lower in the image. Nothing to do if near is {declared} in the contact "
            "sheet, as is " + ("assumed" if dataset.entry is None else "what the catalogue says")
        )
        return [Finding(dataset.label, "polarity", message, is_error=False)]
    if polarity.near is None or declared is None or polarity.near == declared:
        return []
    source = "what the catalogue says"
    if not dataset.entry:
        source = "assumed of data sets not in the catalogue"
    remedy = (
        f"add {dataset.name} to --data.near_dark_sets (which replaces its default)"
        if polarity.near == "dark"
        else f"give --data.near_dark_sets without {dataset.name}"
    )
    grounds = []
    if "objects" in polarity.rests_on:
        grounds.append("objects being nearer than what surrounds them, which holes are not")
    if "ground" in polarity.rests_on:
        grounds.append("the ground being nearer the lower in the image")
    message = (
        f"{where}near is {polarity.near} in these depth maps "
        f"(confidence {polarity.confidence:.3f}, {polarity.num_votes} images; it rests on "
        f"{' and on '.join(grounds)}), but {declared} is {source}: look at the contact sheet, and "
        f"if it shows the same, {remedy}, or invert the files"
    )
    return [Finding(dataset.label, "polarity", message, is_error=dataset.entry is not None)]


def check_outliers(
    dataset: FoundDataset,
    is_depth: bool,
    zeros_are_holes: bool,
    of_maps: Sequence[tuple[Path | None, Outliers | None]],
) -> list[Finding]:
    """Name the maps that a few values, or one that means no reading, squeeze together."""
    spoilt = [(path.name, each) for path, each in of_maps if path is not None and each is not None]
    if not spoilt:
        return []
    outliers = [each for _, each in spoilt]
    worst = min(outliers, key=lambda each: each.share)
    low = min(each.bulk[0] for each in outliers)
    high = max(each.bulk[1] for each in outliers)
    by_range = f"--data.depth_range=[{low:g},{high:g}], which clips what lies beyond"
    choice = choose_invalid_depth(outliers, zeros_are_holes) if is_depth else None
    remedy = f"give {by_range}"
    if choice:
        remedy = (
            f"give --data.invalid_depth={choice} (or ={{{dataset.name}: {choice}}}, if other data "
            f"sets are as they should be) if it means that there is no reading, or else {by_range}"
        )
    names = [name for name, _ in spoilt]
    message = (
        f"{_name_of_second(dataset)}: values far from all others take the range from them in "
        f"{len(spoilt)} of {len(of_maps)} maps ({shorten(names)}); at worst, {worst.describe()} "
        f"that a network sees: {remedy}"
    )
    is_error = worst.share < _MIN_VISIBLE_SHARE
    return [Finding(dataset.label, "range", message, is_error, tuple(names))]


def check_shift(dataset: FoundDataset, shift: Shift) -> list[Finding]:
    """Say by how much the second modality is shifted, if it is."""
    if not shift.right and not shift.down:
        return []
    assert shift.right is not None and shift.down is not None
    parts = []
    if shift.right:
        parts.append(f"{abs(shift.right)} pixel(s) to the {'right' if shift.right > 0 else 'left'}")
    if shift.down:
        parts.append(f"{abs(shift.down)} pixel(s) {'down' if shift.down > 0 else 'up'}")
    message = (
        f"{_name_of_second(dataset)}: shifted against RGB by about {' and '.join(parts)}, as the "
        f"edges of {shift.num_agreeing} of {shift.num_votes} images say: see in the contact sheet "
        "whether that is so, and move the files back"
    )
    return [Finding(dataset.label, "shift", message, is_error=False)]


def _name_of_second(dataset: FoundDataset) -> str:
    sources = dataset.layout.sources.get(dataset.second_modality)
    return show(sources[0] if sources else dataset.folder)
