"""Check all data sets below a folder."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.check.duplicates import Fingerprint, find_duplicates
from datamodules.check.find_datasets import FoundDataset, find_datasets
from datamodules.check.finding import Finding
from datamodules.check.inspect_sample import Inspection, inspect_sample
from datamodules.check.label_findings import check_classes_of_splits, check_label_values
from datamodules.check.pair_folder import pair_folder
from datamodules.check.polarity import Polarity, combine, estimate_polarity
from datamodules.check.set_findings import (
    check_count,
    check_outliers,
    check_polarity,
    check_shift,
    expected_counts,
    merge_alike,
)
from datamodules.check.shift import MAX_VOTES, Shift, estimate_shift
from datamodules.errors import DataError
from datamodules.label_map import LabelMap
from datamodules.reading.dataset_folder import show
from datamodules.reading.layout import describe_folders
from datamodules.reading.pair_files import PairedFiles

Track = Callable[[Iterable[Inspection], int], Iterable[Inspection]]


@dataclass
class DatasetReport:
    """What was seen in a data set.

    Attributes:
        dataset: which one, and what the catalogue knows of it.
        samples: its complete samples.
        is_depth: whether the second modality is depth, and not thermal or unknown.
        declared_near: `bright` or `dark`, of the catalogue or as the data module assumes of others;
            `None` if the catalogue does not know, or the second modality is not depth.
        polarity: as estimated.
        shift: of the second modality against RGB, as estimated.
        sizes, depth_modes, mask_values: numbers of files of each kind.
        class_counts: pixels by class over all labels, and `image_counts` the labels that have each,
            both `(256,)` as in `TruthSeen`; `None` where there are no classes.
        findings: what was found, in the order of the files.
    """

    dataset: FoundDataset
    samples: list[PairedFiles]
    is_depth: bool
    declared_near: str | None
    polarity: Polarity
    shift: Shift
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    depth_modes: Counter[str] = field(default_factory=Counter)
    mask_values: Counter[str] = field(default_factory=Counter)
    class_counts: NDArray[np.int64] | None = None
    image_counts: NDArray[np.int64] | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def expected_counts(self) -> tuple[int, ...]:
        """Numbers of pairs that the catalogue expects, the usual one first; may be empty."""
        return expected_counts(self.dataset)


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


def check_root(
    root: Path,
    num_workers: int = 0,
    track: Track | None = None,
    label_map: LabelMap | None = None,
) -> DataReport:
    """Find, pair and read every file of all data sets below a folder.

    Args:
        root: the folder.
        num_workers: processes that read beside this one; with 0, this one does it.
        track: is given the inspections as they come, and their number; for a progress bar.
        label_map: what the values of all label images mean; by default, what the catalogue says of
            the data sets that it knows, and others have masks.

    Raises:
        DataError: the root is no folder, or there is no data set below it.
    """
    datasets, other_findings = find_datasets(root, label_map)
    if not datasets and not other_findings:
        raise DataError(
            f"{show(root)}: no data set found; expected folders that hold RGB, depth and GT (or "
            "another name of each), at any depth, or files of one folder that end in _depth and "
            f"_gt: check that the data was unpacked here, and rename it. {describe_folders(root)}"
        )
    paired = [pair_folder(dataset) for dataset in datasets]
    jobs = []
    for dataset, (samples, _) in zip(datasets, paired, strict=True):
        is_depth, every = _is_depth(dataset, samples), len(samples) // MAX_VOTES + 1
        jobs += [
            (dataset.label, sample, is_depth, number % every == 0, dataset.truth)
            for number, sample in enumerate(samples)
        ]
    with _mapper(num_workers) as mapper:
        results = mapper(inspect_sample, *zip(*jobs, strict=True)) if jobs else []
        inspections = list(track(results, len(jobs)) if track else results)
    reports: list[DatasetReport] = []
    remaining = iter(inspections)
    for dataset, (samples, findings) in zip(datasets, paired, strict=True):
        own = [next(remaining) for _ in samples]
        reports.append(_report_on(dataset, samples, findings, own))
    other_findings += _report_missing_classes(reports)
    other_findings += _report_duplicates(reports, [i.fingerprint for i in inspections])
    return DataReport(root, reports, other_findings)


def _is_depth(dataset: FoundDataset, samples: list[PairedFiles]) -> bool:
    if dataset.entry is not None and dataset.entry.second_modality != "depth":
        return False
    if dataset.entry is not None and dataset.second_modality == "depth":
        return True
    # Of a fourth channel, nobody knows.
    return dataset.second_modality == "depth" and not any(s.depth == s.rgb for s in samples)


@contextmanager
def _mapper(num_workers: int) -> Iterator[Callable[..., Iterable[Inspection]]]:
    if num_workers == 0:
        yield map
        return
    # One thread each: workers are the parallelism.
    executor = ProcessPoolExecutor(num_workers, initializer=cv2.setNumThreads, initargs=(1,))
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
    is_depth = _is_depth(dataset, samples)
    votes = [[i.separation for i in inspections], [i.ground_slope for i in inspections]]
    cues = [estimate_polarity([vote for vote in each if vote is not None]) for each in votes]
    shift = estimate_shift([i.shift_scores for i in inspections if i.shift_scores is not None])
    report = DatasetReport(
        dataset, samples, is_depth, near if is_depth else None, combine(*cues), shift
    )
    report.sizes.update(i.size for i in inspections if i.size)
    report.depth_modes.update(i.depth_mode for i in inspections if i.depth_mode)
    report.mask_values.update(i.mask_values for i in inspections if i.mask_values)
    counts = [i.class_counts for i in inspections if i.class_counts is not None]
    if dataset.label_map is not None and counts:
        report.class_counts = np.sum(counts, axis=0)
        report.image_counts = np.sum([own > 0 for own in counts], axis=0)
        report.findings += check_label_values(dataset, dataset.label_map, report.class_counts)
    report.findings += check_count(dataset, len(samples))
    report.findings += findings
    report.findings += merge_alike(inspections)
    outliers = [(s.depth, i.outliers) for s, i in zip(samples, inspections, strict=True)]
    zeros_are_holes = any(mode != "8-bit" for mode in report.depth_modes)
    report.findings += check_outliers(dataset, is_depth, zeros_are_holes, outliers)
    if is_depth:
        report.findings += check_polarity(dataset, report.polarity, near)
    report.findings += check_shift(dataset, shift)
    return report


def _report_missing_classes(reports: list[DatasetReport]) -> list[Finding]:
    findings: list[Finding] = []
    by_name: dict[str, list[DatasetReport]] = {}
    for report in reports:
        if report.class_counts is not None:
            by_name.setdefault(report.dataset.name, []).append(report)
    for group in by_name.values():
        label_map = group[0].dataset.label_map
        assert label_map is not None
        of_splits = [(x.dataset, x.class_counts) for x in group if x.class_counts is not None]
        findings += check_classes_of_splits(label_map, of_splits)
    return findings


def _report_duplicates(
    reports: list[DatasetReport], fingerprints: list[Fingerprint | None]
) -> list[Finding]:
    owners = [(report.dataset, sample) for report in reports for sample in report.samples]
    known = [index for index, print_ in enumerate(fingerprints) if print_ is not None]
    pairs = find_duplicates([fingerprints[index] for index in known])  # type: ignore[misc]
    findings = []
    for first, second in pairs:
        (one, sample), (other, copy) = owners[known[first]], owners[known[second]]
        splits = {one.split, other.split}
        # Of a data set of masks, val is the name of a test set too often.
        held_out = "test" if "test" in splits or one.list_file is None else "val"
        is_leak = splits == {"train", held_out}
        what = "a test image" if held_out == "test" else "a validation image"
        message = f"{copy.rgb}: shows the same as {sample.rgb}, " + (
            f"so that {what} is trained on: remove the sample from the training set"
            if is_leak
            else "so that it counts twice where both are used: keep one if that matters"
        )
        findings.append(Finding("", "leak" if is_leak else "duplicate", message, is_leak))
    return findings
