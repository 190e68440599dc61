"""Find the data sets below a folder, whatever their folders are called."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from datamodules.catalogue import CatalogueEntry, find_entry
from datamodules.check.finding import Finding
from datamodules.errors import DataError
from datamodules.reading.dataset_folder import (
    DEPTH_FOLDERS,
    MASK_FOLDERS,
    RGB_FOLDERS,
    THERMAL_FOLDERS,
    list_folder,
    show,
)

# Names in use for the folder of thermal images.
_KINDS = {"rgb": RGB_FOLDERS, "depth": DEPTH_FOLDERS + THERMAL_FOLDERS, "mask": MASK_FOLDERS}
_SPLIT = re.compile(r"(?:^|[-_ ])(train|test)(?:ing)?[-_ ]?(?:set|data)?$", re.I)
_DEEPEST = 50  # of folders below the root
_SHORT_SPLIT = re.compile(r"[-_ ](tr|te)$", re.I)


class FoundDataset(NamedTuple):
    """A data set below a root.

    Attributes:
        label: its path below the root, `.` for the root itself.
        folder: its folder.
        name: its name: the last part of the path that is not merely `train` or `test`.
        split: `train` or `test`, by its path or else by the catalogue; `None` if neither tells.
        entry: what the catalogue knows of it.
        subfolders: candidates for the folders `rgb`, `depth` and `mask`; one each, if all is well.
    """

    label: str
    folder: Path
    name: str
    split: str | None
    entry: CatalogueEntry | None
    subfolders: dict[str, list[Path]]


def find_datasets(root: Path) -> tuple[list[FoundDataset], list[Finding]]:
    """Walk a folder, following each link once, and return its data sets and what hinders the walk.

    A data set is a folder with at least two of the three folders of images, or one of them if the
    catalogue knows its name.

    Raises:
        DataError: the root is no folder that can be read.
    """
    if not os.path.isdir(root):
        raise DataError(f"{show(root)}: no such folder, expected one that holds data sets")
    datasets: list[FoundDataset] = []
    findings: list[Finding] = []
    _walk(root, root, set(), datasets, findings)
    return sorted(datasets), findings


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
    name, split = _name_and_split(root, folder)
    entry = find_entry(name)
    subfolders = {
        kind: [path for path in entries if path.name in aliases and os.path.isdir(path)]
        for kind, aliases in _KINDS.items()
    }
    num_kinds = sum(bool(paths) for paths in subfolders.values())
    holds_dataset = num_kinds >= 2 or (num_kinds == 1 and entry is not None)
    if holds_dataset:
        if split is None and entry is not None and set(entry.counts) == {"test"}:
            split = "test"
        label = show(folder.relative_to(root))
        datasets.append(FoundDataset(label, folder, name, split, entry, subfolders))
    of_images = {path for paths in subfolders.values() for path in paths}
    for path in entries:
        hidden = path.name.startswith(".") or path.name == "__MACOSX"
        if not hidden and path not in of_images and os.path.isdir(path):
            holds_dataset |= _walk(root, path, visited, datasets, findings)
        elif path.is_symlink() and not path.exists():
            message = f"{show(path)}: a link that cannot be followed: mend or remove it"
            findings.append(Finding("", "link", message))
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
        match = _SPLIT.search(part) or _SHORT_SPLIT.search(part)
        if match and split is None:
            split = "train" if match[1].lower().startswith("tr") else "test"
        if not name and not (match and match.start() == 0):
            name = part
    return name or parts[-1], split
