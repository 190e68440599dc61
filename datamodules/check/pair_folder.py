"""Pair the files of a data set, reporting every obstacle instead of the first."""

import unicodedata
from collections import Counter
from pathlib import Path

from datamodules.check.find_datasets import FoundDataset
from datamodules.check.finding import Finding, Report
from datamodules.errors import DataError
from datamodules.reading.dataset_folder import ImageFolder, shorten, show
from datamodules.reading.layout import read_source
from datamodules.reading.pair_files import PairedFiles, pair_images
from datamodules.reading.sample_lists import select_listed


def pair_folder(dataset: FoundDataset) -> tuple[list[PairedFiles], list[Finding]]:
    """Return the complete samples of a data set, and what keeps the other files from being some."""
    findings: list[Finding] = []

    def report(kind: str, message: str, is_error: bool = True) -> None:
        findings.append(Finding(dataset.label, kind, message, is_error))

    samples, problems = pair_images(
        dataset.name, dataset.layout, second_modality=dataset.second_modality
    )
    if dataset.list_file is not None:
        # What the list does not name need not be complete.
        problems = [problem for problem in problems if problem.kind != "unpaired"]
        try:
            samples = select_listed(
                dataset.list_file, samples, dataset.layout, dataset.second_modality
            )
        except DataError as error:
            report("list", str(error))
            samples = []
    findings += [Finding(dataset.label, *problem[:2], files=problem.files) for problem in problems]
    seen: set[Path] = set()
    for role in ("rgb", dataset.second_modality, "mask"):
        for source in dataset.layout.sources.get(role, []):
            try:
                listing = read_source(dataset.layout, role, source)
            except DataError:
                continue  # which pairing has said
            _report_listing(source, listing, report, names_only=source in seen)
            seen.add(source)
    if samples and samples[0].rgb == samples[0].depth:
        report(
            "content",
            f"{show(dataset.folder)}: no images of a second modality; it is read from the fourth "
            "channel of the RGB images: nothing to do, if that is what the channel holds",
            False,
        )
    return samples, findings


def _report_listing(folder: Path, listing: ImageFolder, report: Report, names_only: bool) -> None:
    if not names_only:
        for path in listing.ignored:
            report(
                "ignored", f"{show(path)}: not of an accepted format, ignored: move it away", False
            )
        if listing.hidden:
            names = shorten([show(path.name) for path in listing.hidden])
            message = f"{folder}: hidden files ({names}) ignored: nothing to do"
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
