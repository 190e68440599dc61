"""Find the data sets below a folder, whatever their folders are called."""

import os
from pathlib import Path
from typing import NamedTuple

from datamodules.catalogue import CatalogueEntry, find_entry, find_split
from datamodules.check.finding import Finding
from datamodules.check.ground_truth import GroundTruth
from datamodules.check.labels import Labels
from datamodules.check.masks import Masks
from datamodules.errors import DataError
from datamodules.label_map import LabelMap, read_label_map
from datamodules.reading.dataset_folder import list_folder, show
from datamodules.reading.layout import SECOND_MODALITIES, Layout, find_layouts

_DEEPEST = 50  # of folders below the root


class FoundDataset(NamedTuple):
    """A data set below a root.

    Attributes:
        label: its path below the root, `.` for the root itself.
        folder: its folder.
        name: its name: the last part of the path that is not merely `train` or `test`.
        split: `train`, `test` or `val`, by its path or else by the catalogue, or `None`.
        entry: what the catalogue knows of it.
        layout: where its images lie.
        label_map: what the values of its labels mean, of a data set for semantic segmentation.
        list_file: that names its samples; `None` for all there are.
    """

    label: str
    folder: Path
    name: str
    split: str | None
    entry: CatalogueEntry | None
    layout: Layout
    label_map: LabelMap | None = None
    list_file: Path | None = None

    @property
    def truth(self) -> GroundTruth:
        """What its ground truths are."""
        return Masks() if self.label_map is None else Labels(self.label_map)

    @property
    def second_modality(self) -> str:
        """What lies beside RGB: as the catalogue says, or else as the folders do."""
        order: tuple[str, ...] = SECOND_MODALITIES
        if self.entry:
            order = (self.entry.second_modality, *order)
        return next((role for role in order if role in self.layout.sources), order[0])


def find_datasets(
    root: Path, label_map: LabelMap | None = None
) -> tuple[list[FoundDataset], list[Finding]]:
    """Walk a folder, following each link once, and return its data sets and what hinders the walk.

    A data set has at least two of RGB, a second modality and masks, in any layout that
    `find_layouts` knows, or one of them if the catalogue knows its name. One for semantic
    segmentation that has lists (`train.txt`, `val.txt`, `test.txt`) becomes one for each of them.

    Args:
        root: the folder.
        label_map: of the labels of all of them; by default, that of the catalogue.

    Raises:
        DataError: the root is no folder that can be read.
    """
    if not os.path.isdir(root):
        raise DataError(f"{show(root)}: no such folder, expected one that holds data sets")
    datasets: list[FoundDataset] = []
    findings: list[Finding] = []
    _walk(root, root, set(), datasets, findings)
    split = [part for dataset in datasets for part in _by_lists(dataset, label_map)]
    return sorted(split, key=lambda dataset: dataset.label), findings


def _by_lists(dataset: FoundDataset, label_map: LabelMap | None) -> list[FoundDataset]:
    labels = None if dataset.entry is None else dataset.entry.labels
    if label_map is None and labels is None:
        return [dataset]
    found = label_map or read_label_map(str(labels))
    lists = [dataset.folder / f"{name}.txt" for name in ("train", "val", "test")]
    prefix = "" if dataset.label == "." else f"{dataset.label}/"
    return [
        dataset._replace(
            label=f"{prefix}{path.name}", split=path.stem, label_map=found, list_file=path
        )
        for path in lists
        if path.is_file()
    ] or [dataset._replace(label_map=found)]


def _walk(
    root: Path,
    folder: Path,
    visited: set[str],
    datasets: list[FoundDataset],
    findings: list[Finding],
) -> bool:
    """Return whether the folder is a data set or holds one."""
    if len(folder.relative_to(root).parts) > _DEEPEST:
        message = f"{show(folder)}: deeper than {_DEEPEST} folders, not looked into: move it up"
        findings.append(Finding("", "unreadable", message))
        return True
    real_path = os.path.realpath(folder)
    if real_path in visited:
        message = (
            f"{show(folder)}: leads to {show(real_path)}, which was checked already; skipped: "
            "remove the link if it is not meant"
        )
        findings.append(Finding("", "link", message, is_error=False))
        return True
    visited.add(real_path)
    try:
        entries = list_folder(folder)
    except DataError as error:
        if folder == root:
            raise
        findings.append(Finding(show(folder.relative_to(root)), "unreadable", str(error)))
        return True
    of_images: set[Path] = set()
    for part, layout in find_layouts(folder).items():
        name, split = _name_and_split(root, folder / part)
        entry = find_entry(name)
        if layout.num_kinds >= 2 or (layout.num_kinds == 1 and entry is not None):
            if split is None and entry is not None and set(entry.counts) == {"test"}:
                split = "test"
            label = show((folder / part).relative_to(root))
            datasets.append(FoundDataset(label, folder / part, name, split, entry, layout))
            sources = [path for paths in layout.sources.values() for path in paths]
            of_images |= {path if path.parent == folder else path.parent for path in sources}
    holds_dataset = bool(of_images)
    for path in entries:
        hidden = path.name.startswith(".") or path.name == "__MACOSX"
        if not hidden and path not in of_images and os.path.isdir(path):
            holds_dataset |= _walk(root, path, visited, datasets, findings)
        elif path.is_symlink() and not path.exists():
            message = f"{show(path)}: a link that cannot be followed: mend or remove it"
            findings.append(Finding("", "link", message))
    entry = find_entry(_name_and_split(root, folder)[0])
    if not holds_dataset and entry is not None:
        message = (
            f"{show(folder)}: named like the data set {entry.name}, but holds none, expected the "
            "folders RGB, depth and GT: check that it was unpacked here"
        )
        findings.append(Finding(show(folder.relative_to(root)), "missing", message))
    return holds_dataset


def _name_and_split(root: Path, folder: Path) -> tuple[str, str | None]:
    # The root's own path counts, so that ROOT may be .../train or a data set itself.
    parts = [os.path.basename(os.path.abspath(root)), *folder.relative_to(root).parts]
    split, name = None, ""
    for part in reversed(parts):
        match = find_split(part)
        if match and split is None:
            split = {"tr": "train", "te": "test", "va": "val"}[match[1].lower()[:2]]
        if not name and not (match and match.start() == 0):
            name = part
    return name or parts[-1], split
