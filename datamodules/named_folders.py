"""From what a user types for data sets to names and folders."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.catalogue import find_entry, find_split, named_training_sets
from datamodules.errors import DataError
from datamodules.reading.roles import OUR_NAMES
from mutualformer.errors import UserError


def name_of(folder: str | Path) -> str:
    """Return the name of a data set by its folder: the last part of the path.

    `SSD/test` is called SSD, as the catalogue knows what that means.

    >>> name_of("data/NJU2K"), name_of("SSD/test"), name_of("mine/test")
    ('NJU2K', 'SSD', 'test')
    """
    # Made absolute, so that "." has a name too; not resolved, as a link's own name counts.
    path = Path(os.path.abspath(folder))
    split = find_split(path.name)
    if split and split.start() == 0 and find_entry(path.parent.name):
        return path.parent.name
    return path.name


def name_of_owner(*files: str | Path) -> str:
    """Return the name of the data set that the files of a pair lie in.

    >>> name_of_owner("DES/RGB/1.jpg", "DES/depth/1.bmp"), name_of_owner("photos/1.jpg")
    ('DES', 'photos')
    """
    folders = [Path(os.path.abspath(file)).parent for file in files]
    of_a_role = folders[0].name.lower() in {name.lower() for name in OUR_NAMES.values()}
    return name_of(folders[0].parent if of_a_role or len(set(folders)) > 1 else folders[0])


def named_training_set(
    sets: int | str | list[str] | dict[str, str] | None,
) -> list[str] | dict[str, str] | None:
    """Return the folders of a training set in use; lists and mappings are returned as they are.

    Raises:
        UserError: there is none of this name.
    """
    if not isinstance(sets, int | str):
        return sets
    known = named_training_sets()
    if str(sets) not in known:
        raise UserError(
            f"train_sets is {sets!r}, expected the name of a training set ({', '.join(known)}) or "
            "a list of folders: --data.train_sets=[NAME,…]"
        )
    return known[str(sets)]


def folders_of(
    root: Path, kind: str, sets: Sequence[str] | Mapping[str, str] | None
) -> dict[str, Path]:
    """Return the folder of each data set of `train_sets` or `test_sets` by its name.

    Raises:
        DataError: none is given, the root is no folder, or a name stands twice or is none.
    """
    if not sets:
        raise not_given(f"{kind}_sets", "[NAME,…]")
    if not os.path.isdir(root):
        raise DataError(
            f"{root}: no such folder; expected the one that holds {', '.join(sets)}: "
            "give it as --data.root=FOLDER"
        )
    folders: dict[str, Path] = {}
    if not isinstance(sets, Mapping):
        named = [(name_of(root / folder), folder) for folder in sets]
    else:
        named = list(sets.items())
    for name, folder in named:
        if os.path.basename(os.path.abspath(name)) != name:
            raise DataError(
                f"{kind}_sets names a data set {name!r}, expected a name without folders, as "
                f"scores and maps are filed under it: --data.{kind}_sets={{NAME: FOLDER}}"
            )
        if name in folders:
            raise DataError(
                f"{kind}_sets holds two data sets called {name} ({folders[name]} and "
                f"{root / folder}), expected each name once: leave one out, or name them "
                f"with --data.{kind}_sets={{NAME: FOLDER, OTHER_NAME: OTHER_FOLDER}}"
            )
        folders[name] = root / folder
    return folders


def not_given(parameter: str, value: str) -> DataError:
    """Return the error of a parameter that is missing."""
    return DataError(f"{parameter} is not given, expected data: give --data.{parameter}={value}")
