"""The folder of a data set on disk: which files belong together."""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError

# Names in use for the three folders of a data set; the first of each is ours.
RGB_FOLDERS = ("RGB", "rgb", "image", "images", "Image", "Imgs")
DEPTH_FOLDERS = ("depth", "depths", "Depth")
THERMAL_FOLDERS = ("T", "thermal", "Thermal")
NIR_FOLDERS = ("NIR", "nir")
MASK_FOLDERS = ("GT", "gt", "mask", "masks")

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

_NUM_NAMES_SHOWN = 3


class PairedFiles(NamedTuple):
    """The files of one sample.

    Attributes:
        dataset: Name of the data set.
        name: File stem, the same for all files of the sample.
        rgb: Colour image.
        depth: Depth map, or image of another second modality.
        mask: Ground truth, `None` where there is none.
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

    Files whose extension is not one of `EXTENSIONS`, and hidden files, are ignored.

    Args:
        dataset: Name of the data set, for the samples to bear.
        folder: Holds the folders `RGB`, `depth` and `GT`, or one alias of each.
        mask_is_optional: Whether the mask folder may be missing. If it is there, it is paired.
        second_folders: Names in use for the folder of the second modality, the first of them ours.

    Returns:
        The samples, sorted by stem.

    Raises:
        DataError: If a folder is missing or ambiguous, holds no images or two of one stem, or if
            a stem is not in every folder.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; expected a data set with the folders RGB, "
            f"{second_folders[0]} and GT: check the name and --data.root. "
            f"{_describe_folders(folder.parent)}"
        )
    rgb = _images_by_stem(_find_subfolder(folder, RGB_FOLDERS))
    depth = _images_by_stem(_find_subfolder(folder, second_folders))
    _check_paired(folder, rgb, depth)
    masks: dict[str, Path] = {}
    if not mask_is_optional or _matching_subfolders(folder, MASK_FOLDERS):
        masks = _images_by_stem(_find_subfolder(folder, MASK_FOLDERS))
        _check_paired(folder, rgb, masks)
    return [
        PairedFiles(dataset, stem, rgb[stem], depth[stem], masks.get(stem)) for stem in sorted(rgb)
    ]


def _subfolder_names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _matching_subfolders(folder: Path, aliases: tuple[str, ...]) -> list[str]:
    return [name for name in _subfolder_names(folder) if name in aliases]


def _describe_folders(folder: Path) -> str:
    if not folder.is_dir():
        return f"({folder} does not exist either)"
    return f"Found in {folder}: {', '.join(_subfolder_names(folder)[:20]) or 'no folders'}"


def _find_subfolder(folder: Path, aliases: tuple[str, ...]) -> Path:
    found = _matching_subfolders(folder, aliases)
    if not found:
        raise DataError(
            f"{folder}: no folder {aliases[0]} (accepted names: {', '.join(aliases)}): "
            f"add or rename it. {_describe_folders(folder)}"
        )
    if len(found) > 1:
        raise DataError(
            f"{folder}: {' and '.join(found)} both hold {aliases[0]} images, expected one folder "
            "of them: move the other one away"
        )
    return folder / found[0]


def _images_by_stem(folder: Path) -> dict[str, Path]:
    files = defaultdict(list)
    for path in sorted(folder.iterdir()):
        # Hidden files include the "._name.jpg" that macOS leaves on other file systems.
        if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."):
            files[path.stem].append(path)
    if not files:
        raise DataError(
            f"{folder}: no images; expected files ending in {' '.join(EXTENSIONS)}: "
            "check that the data set was unpacked here"
        )
    duplicates = [paths for paths in files.values() if len(paths) > 1]
    if duplicates:
        names = [" and ".join(path.name for path in paths) for paths in duplicates]
        raise DataError(
            f"{folder}: {len(duplicates)} stem(s) with several files ({_shorten(names)}), "
            "expected one file per stem: remove the others"
        )
    return {stem: paths[0] for stem, paths in files.items()}


def _check_paired(folder: Path, rgb: dict[str, Path], other: dict[str, Path]) -> None:
    rgb_folder, other_folder = next(iter(rgb.values())).parent, next(iter(other.values())).parent
    problems = [
        f"{len(missing)} of {len(having)} stem(s) of {here.name}/ missing in {there.name}/ "
        f"({_shorten(sorted(missing))})"
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


def _shorten(names: list[str]) -> str:
    more = len(names) - _NUM_NAMES_SHOWN
    return ", ".join(names[:_NUM_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
