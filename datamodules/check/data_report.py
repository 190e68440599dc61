"""Check all data sets below a folder."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from datamodules.check.duplicates import Fingerprint, find_duplicates
from datamodules.check.find_datasets import FoundDataset, find_datasets
from datamodules.check.finding import Finding
from datamodules.check.inspect_sample import Inspection, inspect_sample
from datamodules.check.pair_folder import pair_folder
from datamodules.check.polarity import Polarity, estimate_polarity
from datamodules.errors import DataError
from datamodules.reading.dataset_folder import PairedFiles, show

Track = Callable[[Iterable[Inspection], int], Iterable[Inspection]]


@dataclass
class DatasetReport:
    """What was seen in a data set.

    Attributes:
        dataset: which one, and what the catalogue knows of it.
        samples: its complete samples.
        declared_near: `bright` or `dark`, of the catalogue or as the data module assumes of others;
            `None` if the catalogue does not know, or the second modality is not depth.
        polarity: as estimated.
        sizes, depth_modes, mask_values: numbers of files of each kind.
        findings: what was found, in the order of the files.
    """

    dataset: FoundDataset
    samples: list[PairedFiles]
    declared_near: str | None
    polarity: Polarity
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    depth_modes: Counter[str] = field(default_factory=Counter)
    mask_values: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_depth(self) -> bool:
        """Whether the second modality is depth, and not thermal."""
        return _is_depth(self.dataset)

    @property
    def expected_counts(self) -> tuple[int, ...]:
        """Numbers of pairs that the catalogue expects, the usual one first; may be empty."""
        entry, split = self.dataset.entry, self.dataset.split
        return entry.counts.get(split, ()) if entry and split else ()


@dataclass
class DataReport:
    """What was seen below a root; `other_findings` concern no single data set, as duplicates do."""

    root: Path
    datasets: list[DatasetReport]
    other_findings: list[Finding]

    @property
    def findings(self) -> list[Finding]:
        """All findings, errors first."""
        found = [finding for report in self.datasets for finding in report.findings]
        return sorted([*found, *self.other_findings], key=lambda finding: not finding.is_error)

    @property
    def num_errors(self) -> int:
        """How many of the findings must be mended."""
        return sum(finding.is_error for finding in self.findings)


def check_root(root: Path, num_workers: int = 0, track: Track | None = None) -> DataReport:
    """Find, pair and read every file of all data sets below a folder.

    Args:
        root: the folder.
        num_workers: processes that read beside this one; with 0, this one does it.
        track: is given the inspections as they come, and their number; for a progress bar.

    Raises:
        DataError: the root is no folder, or there is no data set below it.
    """
    datasets, other_findings = find_datasets(root)
    if not datasets and not other_findings:
        raise DataError(
            f"{show(root)}: no data set found; expected folders that hold RGB, depth and GT (or an "
            "alias of each), at any depth: check that the data was unpacked here"
        )
    paired = [pair_folder(dataset) for dataset in datasets]
    jobs = [
        (dataset.label, sample, _is_depth(dataset))
        for dataset, (samples, _) in zip(datasets, paired, strict=True)
        for sample in samples
    ]
    with _mapper(num_workers) as mapper:
        results = mapper(inspect_sample, *zip(*jobs, strict=True)) if jobs else []
        inspections = list(track(results, len(jobs)) if track else results)
    reports: list[DatasetReport] = []
    remaining = iter(inspections)
    for dataset, (samples, findings) in zip(datasets, paired, strict=True):
        own = [next(remaining) for _ in samples]
        reports.append(_report_on(dataset, samples, findings, own))
    other_findings += _report_duplicates(reports, [i.fingerprint for i in inspections])
    return DataReport(root, reports, other_findings)


def _is_depth(dataset: FoundDataset) -> bool:
    if dataset.entry is not None:
        return dataset.entry.second_modality == "depth"
    return all("depth" in path.name.lower() for path in dataset.subfolders["depth"])


@contextmanager
def _mapper(num_workers: int) -> Iterator[Callable[..., Iterable[Inspection]]]:
    if num_workers == 0:
        yield map
        return
    # One thread each: workers are the parallelism.
    executor = ProcessPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield partial(executor.map, chunksize=4)
    finally:
        executor.shutdown(cancel_futures=True)


def _report_on(
    dataset: FoundDataset,
    samples: list[PairedFiles],
    findings: list[Finding],
    inspections: list[Inspection],
) -> DatasetReport:
    near = "bright" if dataset.entry is None else dataset.entry.near
    votes = [i.separation for i in inspections if i.separation is not None]
    report = DatasetReport(
        dataset, samples, near if _is_depth(dataset) else None, estimate_polarity(votes)
    )
    report.sizes.update(i.size for i in inspections if i.size)
    report.depth_modes.update(i.depth_mode for i in inspections if i.depth_mode)
    report.mask_values.update(i.mask_values for i in inspections if i.mask_values)
    report.findings += _check_count(report)
    report.findings += findings
    report.findings += [finding for i in inspections for finding in i.findings]
    report.findings += _check_polarity(report)
    return report


def _check_count(report: DatasetReport) -> list[Finding]:
    dataset, expected, count = report.dataset, report.expected_counts, len(report.samples)
    if not expected or count == expected[0]:
        return []
    known = count in expected
    others = f" ({', '.join(map(str, expected[1:]))} in other copies)" if expected[1:] else ""
    message = (
        f"{show(dataset.folder)}: {count} complete pairs, {expected[0]} in {dataset.entry.name}"  # type: ignore[union-attr]
        f" {dataset.split}{others}: "
        + (
            "scores are comparable with those on as many pairs only"
            if known
            else "complete it; scores on a part of it are not comparable"
        )
    )
    return [Finding(dataset.label, "count", message, is_error=not known)]


def _check_polarity(report: DatasetReport) -> list[Finding]:
    dataset, polarity, declared = report.dataset, report.polarity, report.declared_near
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
    message = (
        f"{show(dataset.subfolders['depth'][0])}: near is {polarity.near} in these depth maps "
        f"(confidence {polarity.confidence:.3f}, {polarity.num_votes} images), but {declared} is "
        f"{source}: look at the contact sheet, then {remedy}, or invert the files"
    )
    return [Finding(dataset.label, "polarity", message)]


def _report_duplicates(
    reports: list[DatasetReport], fingerprints: list[Fingerprint | None]
) -> list[Finding]:
    owners = [(report.dataset, sample) for report in reports for sample in report.samples]
    known = [index for index, print_ in enumerate(fingerprints) if print_ is not None]
    pairs = find_duplicates([fingerprints[index] for index in known])  # type: ignore[misc]
    findings = []
    for first, second in pairs:
        (one, sample), (other, copy) = owners[known[first]], owners[known[second]]
        is_leak = {one.split, other.split} == {"train", "test"}
        message = f"{copy.rgb}: shows the same as {sample.rgb}, " + (
            "so that a test image is trained on: remove the sample from the training set"
            if is_leak
            else "so that it counts twice where both are used: keep one if that matters"
        )
        findings.append(Finding("", "leak" if is_leak else "duplicate", message, is_leak))
    return findings
