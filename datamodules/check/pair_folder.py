"""Pair the files of a data set, reporting every obstacle instead of the first."""

import unicodedata
from collections import Counter
from pathlib import Path

from datamodules.check.find_datasets import FoundDataset
from datamodules.check.finding import Finding, Report
from datamodules.errors import DataError
from datamodules.reading.dataset_folder import (
    ImageFolder,
    PairedFiles,
    describe_ambiguous,
    find_near_miss,
    list_folder,
    list_problems,
    read_image_folder,
    show,
)

_NAMES = {"rgb": "RGB", "depth": "depth", "mask": "GT"}


def pair_folder(dataset: FoundDataset) -> tuple[list[PairedFiles], list[Finding]]:
    """Return the complete samples of a data set, and what keeps the other files from being some."""
    findings: list[Finding] = []

    def report(kind: str, message: str, is_error: bool = True) -> None:
        findings.append(Finding(dataset.label, kind, message, is_error))

    files: dict[str, dict[str, Path]] = {}
    folders: dict[str, Path] = {}
    for kind, candidates in dataset.subfolders.items():
        if len(candidates) != 1:
            message = f"{show(dataset.folder)}: no folder {_NAMES[kind]}, nor an alias: "
            message += "add or rename it"
            if names := [path.name for path in candidates]:
                message = describe_ambiguous(dataset.folder, _NAMES[kind], names)
            report("folder", message)
            continue
        folders[kind] = candidates[0]
        try:
            listing = read_image_folder(candidates[0])
        except DataError as error:
            report("unreadable", str(error))
            continue
        _report_listing(candidates[0], listing, report)
        files[kind] = {stem: paths[0] for stem, paths in listing.images.items() if paths}
    stems = sorted(set().union(*files.values())) if files else []
    for kind, paths in files.items():
        # Where a whole folder is missing or empty, that was said already.
        if not paths:
            continue
        entries = list_folder(folders[kind])
        for stem in stems:
            if stem not in paths:
                near_miss = find_near_miss(stem, entries)
                partner = next(other[stem] for other in files.values() if stem in other)
                report(
                    "unpaired",
                    f"{partner}: no file of this stem in {folders[kind].name}/"
                    f"{f' ({near_miss})' if near_miss else ''}: add it, or remove its partners",
                )
    if files.keys() != _NAMES.keys():
        return [], findings
    complete = [stem for stem in stems if all(stem in paths for paths in files.values())]
    samples = [
        PairedFiles(dataset.name, stem, *(files[kind][stem] for kind in _NAMES))
        for stem in complete
    ]
    return samples, findings


def _report_listing(folder: Path, listing: ImageFolder, report: Report) -> None:
    for kind, message in list_problems(folder, listing):
        report(kind, message)
    for path in listing.ignored:
        report("ignored", f"{show(path)}: not of an accepted format, ignored: move it away", False)
    if listing.hidden:
        names = ", ".join(show(path.name) for path in listing.hidden[:3])
        more = f" and {len(listing.hidden) - 3} more" if len(listing.hidden) > 3 else ""
        message = f"{folder}: hidden files ({names}{more}) ignored: nothing to do"
        report("ignored", message, False)
    folded = Counter(stem.casefold() for stem in listing.images)
    for stem, paths in listing.images.items():
        if folded[stem.casefold()] > 1:
            report(
                "name",
                f"{paths[0]}: another stem differs in upper and lower case only, which the file "
                "systems of macOS and Windows cannot hold: rename one in all three folders",
            )
    for stem, paths in listing.images.items():
        if not unicodedata.is_normalized("NFC", paths[0].stem):
            report(
                "name",
                f"{paths[0]}: the name is in Unicode's decomposed form (NFD) and paired as if it "
                f"were composed ({stem}): nothing to do",
                False,
            )
