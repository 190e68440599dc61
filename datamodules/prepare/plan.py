"""Which file goes where, decided and checked before anything is written."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datamodules.errors import DataError
from datamodules.prepare.source_file import FOLDERS, RGB, SourceFile
from datamodules.reading.dataset_folder import DEPTH_FOLDERS, MASK_FOLDERS, RGB_FOLDERS

SPLITS = ("train", "test")
_NUM_NAMES_SHOWN = 3


@dataclass(frozen=True)
class PreparedSet:
    """A data set to be written.

    Attributes:
        split: `"train"` or `"test"`.
        name: Name of the data set.
        files: Its files, three per sample, in the order in which the source is read.
    """

    split: str
    name: str
    files: tuple[SourceFile, ...]

    @property
    def folder(self) -> str:
        """Path below the root."""
        return f"{self.split}/{self.name}"

    @property
    def num_samples(self) -> int:
        """How many samples it has."""
        return len(self.files) // len(FOLDERS)


def make_plan(
    files: Iterable[SourceFile],
    source: str,
    dataset: str | None = None,
    split: str | None = None,
    within: str | None = None,
) -> list[PreparedSet]:
    """Put the images of a source together to data sets.

    The folders above those of the images tell which data set it is, and which split: a part called
    train or test is the split, the last of the others the name.

    Args:
        files: The images.
        source: What they are from, for messages.
        dataset: Name of the data set, instead of that.
        split: `"train"` or `"test"`, instead of that.
        within: Take only what is in a folder of that name or path in the source.

    Returns:
        The data sets, sorted by folder.

    Raises:
        DataError: If there is none; if a name or a split cannot be told; if two data sets would be
            one; or if a sample lacks a file or has two of a kind.
    """
    groups: dict[tuple[str, ...], list[SourceFile]] = defaultdict(list)
    for file in files:
        if within is None or _holds(file.parts, tuple(within.strip("/").split("/"))):
            groups[file.parts].append(file)
    # A folder of images that is no part of a data set, as predictions are.
    groups = {parts: group for parts, group in groups.items() if len(_kinds(group)) > 1}
    if not groups:
        place = source if within is None else f"{within} in {source}"
        raise DataError(
            f"{place}: no data set; expected folders of images called RGB, depth and GT (or "
            f"{', '.join((*RGB_FOLDERS[1:], *DEPTH_FOLDERS[1:], *MASK_FOLDERS[1:]))}): rename them"
        )
    if dataset is not None and not _is_name(dataset):
        raise DataError(f"--dataset is {dataset!r}, expected a name without folders")
    by_target: dict[tuple[str, str], list[SourceFile]] = defaultdict(list)
    origins: dict[tuple[str, str], tuple[str, ...]] = {}
    for parts, group in sorted(groups.items()):
        target = _target(source, parts, dataset, split)
        if target in origins:
            raise DataError(
                f"{source}: {'/'.join(origins[target])} and {'/'.join(parts)} would both become "
                f"{'/'.join(target)}, expected one data set: choose with --within FOLDER"
            )
        origins[target] = parts
        by_target[target] = group
    for target, group in by_target.items():
        _check_samples("/".join(origins[target]), group)
    return [
        PreparedSet(split, name, tuple(group)) for (split, name), group in sorted(by_target.items())
    ]


def _holds(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    width = len(wanted)
    return any(tuple(parts[i : i + width]) == wanted for i in range(len(parts) - width + 1))


def _kinds(group: Iterable[SourceFile]) -> set[str]:
    return {file.kind for file in group}


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")


def _target(
    source: str, parts: Sequence[str], dataset: str | None, split: str | None
) -> tuple[str, str]:
    place = f"{source} ({'/'.join(parts)})"
    splits = {part.lower() for part in parts if part.lower() in SPLITS}
    if split is None and len(splits) != 1:
        raise DataError(
            f"{place}: cannot tell whether this is for training or for testing; expected one "
            "folder called train or test above it: give --split train or --split test"
        )
    names = [part for part in parts if part.lower() not in SPLITS]
    name = dataset or (names[-1] if names else "")
    if not _is_name(name):
        raise DataError(f"{place}: cannot tell which data set this is: give --dataset NAME")
    return split or splits.pop(), name


def _check_samples(place: str, group: Iterable[SourceFile]) -> None:
    by_kind: dict[str, dict[str, SourceFile]] = {kind: {} for kind in FOLDERS}
    for file in group:
        other = by_kind[file.kind].setdefault(file.stem, file)
        if other is not file:
            raise DataError(
                f"{file.origin} and {other.origin} are both the {file.kind} image of {file.stem}, "
                "expected one file: remove the other from the source"
            )
    everything = set().union(*by_kind.values())
    for kind, found in by_kind.items():
        missing = sorted(everything - found.keys())
        if missing:
            more = f" and {len(missing) - _NUM_NAMES_SHOWN} more"
            raise DataError(
                f"{place}: {len(missing)} of {len(everything)} samples have no {kind} image "
                f"({', '.join(missing[:_NUM_NAMES_SHOWN])}"
                f"{more if len(missing) > _NUM_NAMES_SHOWN else ''}); expected the same stems in "
                f"{', '.join(FOLDERS)}: add the missing files or remove their partners"
            )
    clashes: dict[str, str] = {}
    for stem in sorted(by_kind[RGB]):
        other_stem = clashes.setdefault(stem.casefold(), stem)
        if other_stem != stem:
            raise DataError(
                f"{place}: {other_stem} and {stem} differ in capitals alone, expected names that "
                "every file system tells apart: rename one in all folders"
            )
