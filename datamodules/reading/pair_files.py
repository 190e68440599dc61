"""Which files of a data set belong together."""

import itertools
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import (
    ImageFolder,
    find_near_miss,
    list_folder,
    list_problems,
    shorten,
    show,
)
from datamodules.reading.image_files import holds_fourth_channel
from datamodules.reading.layout import (
    SECOND_MODALITIES,
    Layout,
    describe_folders,
    find_layout,
    read_source,
)
from datamodules.reading.roles import OUR_NAMES, names_of, read_name, split_stem

MOST_NAMED = 20


class PairedFiles(NamedTuple):
    """The files of one sample, `name` being the stem of all of them.

    `depth` may be the image of another second modality, and the file of `rgb` where that holds
    four channels. `rgb` or `depth` is `None` where it is not to be read, `mask` where none is.
    """

    dataset: str
    name: str
    rgb: Path | None
    depth: Path | None
    mask: Path | None


class Problem(NamedTuple):
    """What keeps files of a data set from being used.

    Attributes:
        kind: a word for it, such as `folder` or `unpaired`.
        message: one line, for a user.
        files: all that it is about, where the message names the first of many only.
    """

    kind: str
    message: str
    files: tuple[str, ...] = ()


def pair_files(
    dataset: str,
    folder: Path,
    mask_is_optional: bool = False,
    second_modality: str = "depth",
    modalities: Sequence[str] = ("rgb", "depth"),
) -> list[PairedFiles]:
    """Pair the images of a data set's folder by their file stem.

    Stems are compared in Unicode's composed form (NFC), as file systems differ in the form they
    keep. Where they are not the same in the folders, what names the role is left out of them
    (`001_depth`, `img-001`). Files whose extension is not one of `EXTENSIONS`, and hidden files,
    are ignored.

    Args:
        dataset: name of the data set, for the samples to bear.
        folder: the data set's, in any layout that `find_layout` knows.
        mask_is_optional: whether masks may be missing. If they are there, they are paired.
        second_modality: `depth`, `thermal` or `nir`.
        modalities: which to look for, `rgb` and `depth`, the latter standing for the second.

    Returns:
        The samples, sorted by stem.

    Raises:
        DataError: a folder is missing, unreadable or ambiguous, holds no images, two of one
            stem or a name that no text can show, or if a stem is not in every folder.
    """
    samples, problems = pair_images(
        dataset, find_layout(folder, second_modality), mask_is_optional, second_modality, modalities
    )
    if problems:
        more = f" ({len(problems) - 1} more: see mutualformer data check)" if problems[1:] else ""
        raise DataError(f"{problems[0].message}{more}")
    return samples


def pair_images(
    dataset: str,
    layout: Layout,
    mask_is_optional: bool = False,
    second_modality: str = "depth",
    modalities: Sequence[str] = ("rgb", "depth"),
) -> tuple[list[PairedFiles], list[Problem]]:
    """Return the complete samples of a layout, and what keeps the other files from being some."""
    roles = [second_modality if name == "depth" else name for name in modalities]
    if not (mask_is_optional and "mask" not in layout.sources):
        roles.append("mask")
    problems: list[Problem] = []
    folders: dict[str, Path] = {}
    listings: dict[str, ImageFolder] = {}
    for role in roles:
        candidates = layout.sources.get(role, [])
        if len(candidates) == 1:
            folders[role] = candidates[0]
            try:
                listings[role] = read_source(layout, role, candidates[0])
            except DataError as error:
                problems.append(Problem("unreadable", str(error)))
        elif role != second_modality or not _is_in_fourth_channel(layout, listings):
            problems.append(_describe_candidates(layout, role, candidates))
    listings = _match_stems(listings)
    for role, listing in listings.items():
        problems += [Problem(*each) for each in list_problems(folders[role], listing)]
    files = {role: listing.images for role, listing in listings.items()}
    problems += _describe_unpaired(layout, folders, {role: of for role, of in files.items() if of})
    if second_modality in roles and "rgb" in files and _is_in_fourth_channel(layout, listings):
        files[second_modality] = files["rgb"]
    if set(roles) - files.keys():
        return [], problems
    samples = []
    for stem in sorted(set.intersection(*(set(images) for images in files.values()))):
        paths = {role: images[stem][0] for role, images in files.items()}
        rgb, second, mask = (paths.get(role) for role in ("rgb", second_modality, "mask"))
        samples.append(PairedFiles(dataset, stem, rgb, second, mask))
    return samples, problems


def _is_in_fourth_channel(layout: Layout, listings: dict[str, ImageFolder]) -> bool:
    """Whether the RGB images hold the second modality, no other images of which are there."""
    if "rgb" not in listings or any(role in layout.sources for role in SECOND_MODALITIES):
        return False
    first = next(iter(listings["rgb"].images.values()), None)
    return first is not None and holds_fourth_channel(first[0])


def _match_stems(listings: dict[str, ImageFolder]) -> dict[str, ImageFolder]:
    """Leave what names the role out of the stems wherever more of them are the same then."""
    choices = []
    for role, listing in listings.items():
        stripped: dict[str, list[Path]] = defaultdict(list)
        for stem, paths in listing.images.items():
            core, marked = split_stem(stem)
            stripped[core if marked == role else stem] += paths
        choices.append([listing, listing._replace(images=dict(stripped))])

    def num_complete(choice: Sequence[ImageFolder]) -> int:
        return len(set.intersection(*(set(listing.images) for listing in choice)))

    # Of equally good ones, the first: stems as they are.
    best = max(itertools.product(*choices), key=num_complete) if choices else ()
    return dict(zip(listings, best, strict=True))


def _describe_candidates(layout: Layout, role: str, candidates: list[Path]) -> Problem:
    folder, name = layout.folder, OUR_NAMES[role]
    if candidates:
        names = " and ".join(_name_of(layout, role, path).rstrip("/") for path in candidates)
        return Problem(
            "folder",
            f"{show(folder)}: {names} both hold {name} images, expected one folder of them: move "
            "the other one away",
        )
    where = folder if os.path.isdir(folder) else folder.parent
    instead = ""
    if role in SECOND_MODALITIES:
        instead = ", or read RGB alone (--model.network.fusion.name=rgb)"
    return Problem(
        "folder",
        f"{show(folder)}: no folder {name} (accepted names, in any letter case: "
        f"{', '.join(names_of(role))}): add or rename it{instead}. "
        f"{describe_folders(where)}{_describe_others(where, role)}",
    )


def _name_of(layout: Layout, role: str, source: Path | None) -> str:
    if source is None or source == layout.folder:
        return f"the {OUR_NAMES[role]} images"
    inside = source.is_relative_to(layout.folder)
    return f"{show(source.relative_to(layout.folder if inside else layout.folder.parent))}/"


def _describe_others(folder: Path, role: str) -> str:
    kinds = []
    for path in list_folder(folder) if os.path.isdir(folder) else []:
        meaning = read_name(path.name)
        if meaning and meaning.role == role and not os.path.isdir(path):
            kind = "broken link" if path.is_symlink() else "file"
            kinds.append(f"{path.name} is a {kind}, expected a folder")
    return f" ({', '.join(kinds)})" if kinds else ""


def _describe_unpaired(
    layout: Layout, folders: dict[str, Path], files: dict[str, dict[str, list[Path]]]
) -> list[Problem]:
    """Say in one message which stems are not in all of the folders."""
    if len(files) < 2:
        return []
    names = {role: _name_of(layout, role, folders[role]) for role in files}
    if not set.intersection(*(set(images) for images in files.values())):
        seen = "; ".join(f"{names[role]}: {shorten(sorted(of))}" for role, of in files.items())
        message = (
            f"{show(layout.folder)}: no stem is the same in {', '.join(names.values())} ({seen}): "
            "rename the files so that those which belong together have one name, but for the "
            "extension and an ending such as _depth or _gt"
        )
        return [Problem("unpaired", message)]
    parts: list[str] = []
    all_missing: list[str] = []
    first, *others = files
    for here, there in [pair for role in others for pair in ((first, role), (role, first))]:
        missing = sorted(files[here].keys() - files[there].keys())
        if missing:
            named = shorten(_with_near_misses(missing, folders[there]), MOST_NAMED)
            parts.append(
                f"{len(missing)} of {len(files[here])} stem(s) of {names[here]} missing in "
                f"{names[there]} ({named})"
            )
            all_missing += [f"{names[there]}{stem}" for stem in missing]
    message = (
        f"{show(layout.folder)}: {' and '.join(parts)}; expected the same stems in each: add the "
        "missing files or remove their partners"
    )
    return [Problem("unpaired", message, tuple(all_missing))] if parts else []


def _with_near_misses(stems: list[str], folder: Path) -> list[str]:
    paths = list_folder(folder)
    near_misses = [find_near_miss(stem, paths) for stem in stems[:MOST_NAMED]]
    shown = [
        f"{stem}, but {near_miss}" if near_miss else stem
        for stem, near_miss in zip(stems, near_misses, strict=False)
    ]
    return shown + stems[MOST_NAMED:]
