"""Where the images of a data set lie on disk, in any of the layouts in circulation.

- a folder per role, named as `read_name` knows them: `RGB/`, `depth/`, `GT/`, or `train_images/` …
- several sets in one folder: `RGB/train/` and `RGB/test/`, or `train_images/` beside `test_images/`
- files of several roles in one folder, told apart by their names: `001.jpg`, `001_depth.png`
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import (
    EXTENSIONS,
    ImageFolder,
    list_folder,
    read_image_folder,
    show,
)
from datamodules.reading.roles import OUR_NAMES, NameMeaning, read_name, split_stem

SECOND_MODALITIES = ("depth", "thermal", "nir", "hha", "event", "lidar")


class Layout(NamedTuple):
    """Where the images of a data set lie.

    Attributes:
        folder: of the data set; `D/train` for images in `D/RGB/train`, where it need not exist.
        sources: by role, the folders that may hold its images; one each, if all is well. It is the
            data set's own folder where names of files tell the roles.
    """

    folder: Path
    sources: dict[str, list[Path]]

    @property
    def num_kinds(self) -> int:
        """How many there are of RGB, a second modality and masks."""
        second = any(role in self.sources for role in SECOND_MODALITIES)
        return second + ("rgb" in self.sources) + ("mask" in self.sources)


def find_layouts(folder: Path) -> dict[str, Layout]:
    """Return the data sets whose images lie in a folder or in the folders of roles in it.

    Returns:
        By the name below the folder, such as `train`; empty for the folder itself.

    Raises:
        DataError: the folder cannot be read.
    """
    subfolders = [path for path in list_folder(folder) if os.path.isdir(path)]
    named = [(path, meaning) for path in subfolders if (meaning := read_name(path.name))]
    groups: dict[str, list[tuple[Path, NameMeaning]]] = defaultdict(list)
    if len({meaning.role for _, meaning in named}) > 1 and not any(
        _holds_images(path) for path, _ in named
    ):
        for path, meaning in named:
            for inner in _subfolders(path):
                groups[inner.name].append((inner, meaning))
    if not groups:
        splits = {meaning.split for _, meaning in named} - {""}
        for path, meaning in named:
            groups[meaning.split if len(splits) > 1 else ""].append((path, meaning))
    layouts = {name: Layout(folder / name, _choose(found)) for name, found in groups.items()}
    beside = layouts[""].sources if "" in layouts else {}
    own = _own_roles(folder) - beside.keys()
    # Images without a word in their names are RGB only where there is something to go with them.
    if beside or own - {"rgb"}:
        layouts[""] = Layout(folder, beside | {role: [folder] for role in own})
    for layout in layouts.values():
        _add_roles_beside_rgb(layout)
    return layouts


def find_layout(folder: Path, second_modality: str = "depth") -> Layout:
    """Return where the images of the data set lie that a folder's path names.

    Args:
        folder: `D`, or `D/train` for images in `D/RGB/train`.
        second_modality: what is looked for, for the error.

    Raises:
        DataError: there is no such folder, or it holds several data sets.
    """
    # Unlike is_dir of a Path, false for a folder that may not be looked into.
    if os.path.isdir(folder):
        layouts = find_layouts(folder)
        if "" not in layouts and len(layouts) > 1:
            raise DataError(
                f"{folder}: holds {len(layouts)} data sets ({', '.join(sorted(layouts))}), "
                f"expected the path of one, such as {folder / min(layouts)}"
            )
        if layouts:
            return layouts.get("") or next(iter(layouts.values()))
        # A folder of photographs, to predict from RGB alone.
        return Layout(folder, {"rgb": [folder]} if _holds_images(folder) else {})
    if os.path.isdir(folder.parent):
        layouts = find_layouts(folder.parent)
        if folder.name in layouts:
            return layouts[folder.name]
    raise DataError(
        f"{folder}: no such folder; expected a data set with the folders RGB, "
        f"{OUR_NAMES[second_modality]} and GT: check the name and --data.root. "
        f"{describe_folders(folder.parent)}"
    )


def read_source(layout: Layout, role: str, source: Path) -> ImageFolder:
    """List the images of a role in one of its folders.

    Raises:
        DataError: the folder cannot be read.
    """
    listing = read_image_folder(source)
    roles = {name for name, sources in layout.sources.items() if source in sources}
    if len(roles) > 1:
        images = {}
        for stem, paths in listing.images.items():
            marked = split_stem(stem)[1]
            if (marked if marked in roles else "rgb") == role:
                images[stem] = paths
        listing = listing._replace(images=images)
    if source == layout.folder:
        ignored = [path for path in listing.ignored if not os.path.isdir(path)]
        listing = listing._replace(ignored=ignored)
    return listing


def describe_folders(folder: Path) -> str:
    """Say which folders there are in a folder, for an error about one that is not."""
    if not os.path.isdir(folder):
        return f"({folder} does not exist either)"
    names = [show(path.name) for path in _subfolders(folder)]
    return f"Found in {folder}: {', '.join(names[:20]) or 'no folders'}"


def _choose(candidates: list[tuple[Path, NameMeaning]]) -> dict[str, list[Path]]:
    """Sort folders by role, without those that others have precedence over."""
    by_role: dict[str, list[tuple[Path, NameMeaning]]] = defaultdict(list)
    for path, meaning in candidates:
        by_role[meaning.role].append((path, meaning))
    for role, found in by_role.items():
        by_role[role] = [pair for pair in found if not pair[1].is_weak] or found
    # Of a stereo pair, the view that depth and masks belong to, if that is certain.
    views = []
    for side in ("left", "right"):
        view = {
            role: [path for path, meaning in found if meaning.side == side]
            or [path for path, meaning in found if not meaning.side]
            for role, found in by_role.items()
        }
        if all(len(paths) == 1 for paths in view.values()):
            views.append(view)
    if len(views) == 1:
        return views[0]
    return {role: [path for path, _ in found] for role, found in by_role.items()}


def _add_roles_beside_rgb(layout: Layout) -> None:
    """Add to the sources what lies in the folder of RGB, if it lies nowhere else."""
    if len(layout.sources.get("rgb", ())) != 1:
        return
    (folder,) = layout.sources["rgb"]
    cores: dict[str, set[str]] = defaultdict(set)
    for name in _image_names(folder):
        core, role = split_stem(os.path.splitext(name)[0])
        cores[role or "rgb"].add(core)
    images = cores.pop("rgb", set())
    has_second = any(role in layout.sources for role in SECOND_MODALITIES)
    for role, found in cores.items():
        is_there = role in layout.sources or (role in SECOND_MODALITIES and has_second)
        # An image that merely happens to end so, as cat_d, has no partner without the ending.
        if not is_there and len(found & images) >= len(found) / 2:
            layout.sources[role] = [folder]


def _own_roles(folder: Path) -> set[str]:
    stems = [os.path.splitext(name)[0] for name in _image_names(folder)]
    return {split_stem(stem)[1] or "rgb" for stem in stems}


def _image_names(folder: Path) -> list[str]:
    return [name for name in _names(folder) if name.lower().endswith(EXTENSIONS) and name[0] != "."]


def _holds_images(folder: Path) -> bool:
    return bool(_image_names(folder))


def _subfolders(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(_names(folder)) if os.path.isdir(folder / name)]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # said where its images are read
        return []
