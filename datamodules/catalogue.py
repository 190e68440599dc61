"""The catalogue of public data sets: names in circulation, numbers of pairs, depth convention."""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

_FILE = Path(__file__).with_name("catalogue.yaml")
_SPLIT = re.compile(r"(?:^|[-_ ])(train|test|val)(?:ing|idation)?[-_ ]?(?:set|data)?$", re.I)
_SHORT_SPLIT = re.compile(r"[-_ ](tr|te)$", re.I)
_SPLIT_AT_THE_END = re.compile(r"[-_ ](train|training|tr|test|testing|te)(set|data)?$", re.I)


class CatalogueEntry(NamedTuple):
    """A public data set; `catalogue.yaml` says what each field means.

    `near` is `None` where it is unknown, `note` empty where there is none, and `counts` holds, by
    split (`train`, `val`, `test`), the usual number of pairs first. `labels` names the label map of
    a data set for semantic segmentation, and is `None` for one of saliency.
    """

    name: str
    aliases: tuple[str, ...]
    second_modality: str
    near: str | None
    counts: dict[str, tuple[int, ...]]
    terms: str
    source: str
    citation: str
    note: str
    labels: str | None = None


@cache
def read_catalogue() -> tuple[CatalogueEntry, ...]:
    """Return all entries, in the order of the file.

    >>> [entry.name for entry in read_catalogue()][:3]
    ['NJU2K', 'NLPR', 'DUT-RGBD']
    """
    return tuple(
        CatalogueEntry(
            name=name,
            aliases=tuple(fields["aliases"]),
            second_modality=fields["second_modality"],
            near=fields["near"],
            counts={s: tuple(fields[s]) for s in ("train", "val", "test") if s in fields},
            terms=fields["terms"],
            source=fields["source"],
            citation=fields["citation"],
            note=fields.get("note", ""),
            labels=fields.get("labels"),
        )
        for name, fields in _read_file()["data_sets"].items()
    )


def find_entry(name: str) -> CatalogueEntry | None:
    """Return the entry of the data set that a folder's name means, `None` if there is none.

    >>> find_entry("rgbd-135").name, find_entry("STERE_test").name, find_entry("mine")
    ('DES', 'STEREO', None)
    """
    return _by_simplified_name().get(_simplify(name))


def find_split(name: str) -> re.Match | None:
    """Find the part of a folder's name that says a split; group 1 begins with `tr`, `te` or `val`.

    >>> find_split("NLPR_Test")[1], find_split("train_data")[1], find_split("latest")
    ('Test', 'train', None)
    """
    return _SPLIT.search(name) or _SHORT_SPLIT.search(name)


def is_near_dark(name: str) -> bool:
    """Return whether the catalogue says that a data set of this name stores near as dark.

    >>> is_near_dark("RGBD135"), is_near_dark("NLPR"), is_near_dark("mine")
    (True, False, False)
    """
    entry = find_entry(name)
    return entry is not None and entry.near == "dark"


def named_training_sets() -> dict[str, list[str]]:
    """Return the folders of the training sets that have a name.

    >>> named_training_sets()["2185"]
    ['train/NJU2K', 'train/NLPR']
    """
    return {name: list(folders) for name, folders in _read_file()["training_sets"].items()}


@cache
def _read_file() -> dict[str, Any]:
    return yaml.safe_load(_FILE.read_text(encoding="utf-8"))


@cache
def _by_simplified_name() -> dict[str, CatalogueEntry]:
    return {
        _simplify(name): entry
        for entry in read_catalogue()
        for name in (entry.name, *entry.aliases)
    }


def _simplify(name: str) -> str:
    return re.sub(r"[-_ ]", "", _SPLIT_AT_THE_END.sub("", name)).casefold()
