"""The folder of a data set on disk: which files belong together."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError

# Names in use for the three folders of a data set; the first of each is ours.
RGB_FOLDERS = ("RGB", "rgb", "image", "images", "Image", "Imgs")
DEPTH_FOLDERS = ("depth", "depths", "Depth")
THERMAL_FOLDERS = ("T", "thermal", "Thermal", "IR")
NIR_FOLDERS = ("NIR", "nir")
MASK_FOLDERS = ("GT", "gt", "mask", "masks")

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".jp2", ".pgm", ".ppm", ".webp")

_NUM_NAMES_SHOWN = 3


class PairedFiles(NamedTuple):
    """The files of one sample, `name` being the stem of all of them.

    `depth` may be the image of another second modality; `mask` is `None` where there is none.
    """

    dataset: str
    name: str
    rgb: Path
    depth: Path
    mask: Path | None


def pair_files(
    dataset: str,
    folder: Path,
    mask_is_optional: bool = False,
    second_folders: tuple[str, ...] = DEPTH_FOLDERS,
) -> list[PairedFiles]:
    """Pair the images of a data set's folder by their file stem.

    Stems are compared in Unicode's composed form (NFC), as file systems differ in the form they
    keep. Files whose extension is not one of `EXTENSIONS`, and hidden files, are ignored.

    Args:
        dataset: name of the data set, for the samples to bear.
        folder: holds the folders `RGB`, `depth` and `GT`, or one alias of each.
        mask_is_optional: whether the mask folder may be missing. If it is there, it is paired.
        second_folders: names in use for the folder of the second modality, the first of them ours.

    Returns:
        The samples, sorted by stem.

    Raises:
        DataError: a folder is missing, unreadable or ambiguous, holds no images, two of one
            stem or a name that no text can show, or if a stem is not in every folder.
    """
    # Unlike is_dir of a Path, false for a folder that may not be looked into.
    if not os.path.isdir(folder):
        raise DataError(
            f"{folder}: no such folder; expected a data set with the folders RGB, "
            f"{second_folders[0]} and GT: check the name and --data.root. "
            f"{_describe_folders(folder.parent)}"
        )
    rgb = images_by_stem(_find_subfolder(folder, RGB_FOLDERS))
    depth = images_by_stem(_find_subfolder(folder, second_folders))
    _check_paired(folder, rgb, depth)
    masks: dict[str, Path] = {}
    if not mask_is_optional or _matching_subfolders(folder, MASK_FOLDERS):
        masks = images_by_stem(_find_subfolder(folder, MASK_FOLDERS))
        _check_paired(folder, rgb, masks)
    return [
        PairedFiles(dataset, stem, rgb[stem], depth[stem], masks.get(stem)) for stem in sorted(rgb)
    ]


def list_folder(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted by name.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(
            f"{show(folder)}: the folder cannot be read ({error.strerror}): check its permissions "
            "and the disk"
        ) from error


def show(path: Path | str) -> str:
    r"""Return a path as one line of text that any terminal can print.

    >>> show("GT/a.png"), show("GT/a\nb.png")
    ('GT/a.png', "'GT/a\\nb.png'")
    """
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _subfolder_names(folder: Path) -> list[str]:
    return [entry.name for entry in list_folder(folder) if os.path.isdir(entry)]


def _matching_subfolders(folder: Path, aliases: tuple[str, ...]) -> list[str]:
    return [name for name in _subfolder_names(folder) if name in aliases]


def _describe_folders(folder: Path) -> str:
    if not os.path.isdir(folder):
        return f"({folder} does not exist either)"
    return f"Found in {folder}: {', '.join(_subfolder_names(folder)[:20]) or 'no folders'}"


def _find_subfolder(folder: Path, aliases: tuple[str, ...]) -> Path:
    found = _matching_subfolders(folder, aliases)
    if not found:
        raise DataError(
            f"{folder}: no folder {aliases[0]} (accepted names: {', '.join(aliases)}): "
            f"add or rename it. {_describe_folders(folder)}{_describe_others(folder, aliases)}"
        )
    if len(found) > 1:
        raise DataError(describe_ambiguous(folder, aliases[0], found))
    return folder / found[0]


def describe_ambiguous(folder: Path, kind: str, names: list[str]) -> str:
    """Return the error of several folders of one kind."""
    return (
        f"{show(folder)}: {' and '.join(names)} both hold {kind} images, expected one folder of "
        "them: move the other one away"
    )


def _describe_others(folder: Path, aliases: tuple[str, ...]) -> str:
    others = [
        path for path in list_folder(folder) if path.name in aliases and not os.path.isdir(path)
    ]
    kinds = [
        f"{path.name} is a {'broken link' if path.is_symlink() else 'file'}" for path in others
    ]
    return f" ({', '.join(kinds)}, expected a folder)" if kinds else ""


class ImageFolder(NamedTuple):
    """What lies in a folder of images.

    Attributes:
        images: the files of each stem; one each, if all is well.
        ignored: files and folders of other or no extension. Hidden files are not among them.
        hidden: hidden files, and those that Windows leaves (`Thumbs.db`, `desktop.ini`).
        unprintable: names that hold line breaks, control characters or undecodable bytes.
    """

    images: dict[str, list[Path]]
    ignored: list[Path]
    hidden: list[Path]
    unprintable: list[Path]


def read_image_folder(folder: Path) -> ImageFolder:
    """List the images of a folder by stem; see `pair_files` for what is an image.

    Raises:
        DataError: the folder cannot be read.
    """
    images = defaultdict(list)
    ignored, hidden, unprintable = [], [], []
    for path in list_folder(folder):
        # Hidden files include the "._name.jpg" that macOS leaves on other file systems.
        if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini"):
            hidden.append(path)
        elif path.suffix.lower() not in EXTENSIONS:
            ignored.append(path)
        elif not path.name.isprintable():
            unprintable.append(path)
        else:
            images[unicodedata.normalize("NFC", path.stem)].append(path)
    return ImageFolder(dict(images), ignored, hidden, unprintable)


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by stem; see `pair_files` for what is an image.

    Raises:
        DataError: the folder cannot be read, holds no images, two of one stem, or a name that no
            text can show.
    """
    listing = read_image_folder(folder)
    problems = [message for _, message in list_problems(folder, listing)]
    if problems:
        more = f" ({len(problems) - 1} more: see mutualformer data check)" if problems[1:] else ""
        raise DataError(f"{problems[0]}{more}")
    return {stem: paths[0] for stem, paths in listing.images.items()}


def list_problems(folder: Path, listing: ImageFolder) -> Iterator[tuple[str, str]]:
    """Yield what keeps a folder of images from being used: a word for it, and a message."""
    if listing.unprintable:
        names = shorten([show(path.name) for path in listing.unprintable])
        yield (
            "name",
            f"{folder}: {len(listing.unprintable)} name(s) with line breaks, control characters or "
            f"undecodable bytes ({names}), which no result file can hold: rename them",
        )
    if not listing.images:
        found = shorten([show(path.name) for path in listing.ignored])
        yield (
            "empty",
            f"{folder}: no images; expected files ending in {' '.join(EXTENSIONS)}: check that the "
            f"data set was unpacked here{f'. Found: {found}' if found else ''}",
        )
    for paths in listing.images.values():
        if len(paths) > 1:
            # Escaped where two would look the same, composed and decomposed.
            alike = len({unicodedata.normalize("NFC", path.name) for path in paths}) < len(paths)
            names = " and ".join(ascii(path.name) if alike else path.name for path in paths)
            yield (
                "unpaired",
                f"{folder}: 1 stem with several files ({names}), expected one file per stem: "
                "remove the others",
            )


def _check_paired(folder: Path, rgb: dict[str, Path], other: dict[str, Path]) -> None:
    rgb_folder, other_folder = next(iter(rgb.values())).parent, next(iter(other.values())).parent
    problems = [
        f"{len(missing)} of {len(having)} stem(s) of {here.name}/ missing in {there.name}/ "
        f"({shorten(_with_near_misses(sorted(missing), there))})"
        for having, missing, here, there in (
            (rgb, rgb.keys() - other.keys(), rgb_folder, other_folder),
            (other, other.keys() - rgb.keys(), other_folder, rgb_folder),
        )
        if missing
    ]
    if problems:
        raise DataError(
            f"{folder}: {' and '.join(problems)}; expected the same stems in both: "
            "add the missing files or remove their partners"
        )


def _with_near_misses(stems: list[str], folder: Path) -> list[str]:
    paths = list_folder(folder)
    near_misses = [find_near_miss(stem, paths) for stem in stems[:_NUM_NAMES_SHOWN]]
    shown = [
        f"{stem}, but {near_miss}" if near_miss else stem
        for stem, near_miss in zip(stems, near_misses, strict=False)
    ]
    return shown + stems[_NUM_NAMES_SHOWN:]


def find_near_miss(stem: str, paths: list[Path]) -> str:
    """Say which file may be meant by a stem that no image has; empty if none comes near.

    >>> find_near_miss("a", [Path("GT/A.png")])
    'A.png differs in upper and lower case'
    >>> find_near_miss("a", [Path("GT/a.gif")])
    'a.gif is not of an accepted format'
    """
    for path in paths:
        if path.stem == stem and path.suffix.lower() not in EXTENSIONS:
            return f"{show(path.name)} is not of an accepted format"
        if path.stem != stem and path.stem.casefold() == stem.casefold():
            return f"{show(path.name)} differs in upper and lower case"
    return ""


def shorten(names: list[str]) -> str:
    """Join the first few of many names, and say how many more there are."""
    more = len(names) - _NUM_NAMES_SHOWN
    return ", ".join(names[:_NUM_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
