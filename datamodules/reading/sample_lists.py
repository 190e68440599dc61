"""Lists of the samples of a split, in the formats that circulate.

A line names a sample by its bare stem (`0001`), by one file (`RGB/0001.jpg`), or by a file of each
role (`rgb/0001.png<TAB>depth/0001.png<TAB>masks/0001.png`), parted by tabs, blanks, commas or
semicolons, in any order.
"""

import os
import re
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError
from datamodules.reading.dataset_folder import EXTENSIONS, shorten, show
from datamodules.reading.layout import Layout, find_layout, read_source
from datamodules.reading.pair_files import PairedFiles, pair_files, pair_images
from datamodules.reading.roles import OUR_NAMES, read_name, split_stem

_SEPARATORS = re.compile(r"[\t ,;]+")
_MOST_NAMED = 5


class ListedSample(NamedTuple):
    """A line of a list.

    Attributes:
        line: its number, from 1 on.
        stem: of the sample.
        text: as it stands there.
    """

    line: int
    stem: str
    text: str


def read_sample_list(path: Path, known: Collection[str] = ()) -> list[ListedSample]:
    """Read a list.

    Args:
        path: a text file in UTF-8, with line ends of any system.
        known: stems that there are, which may hold blanks.

    Raises:
        DataError: it cannot be read, is empty, or names a sample twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DataError(f"{path}: the list cannot be read ({reason}): replace it") from error
    samples: dict[str, ListedSample] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = unicodedata.normalize("NFC", line.strip())
        if not line:
            continue
        stem = _stem_of_line(line, known)
        if stem in samples:
            raise DataError(
                f"{path}: lines {samples[stem].line} and {number} both name {show(stem)}, expected "
                "each sample once: remove one of them"
            )
        samples[stem] = ListedSample(number, stem, line)
    if not samples:
        raise DataError(f"{path}: the list is empty, expected a line per sample: replace it")
    return list(samples.values())


def pair_split(
    root: Path,
    split: str,
    dataset: str,
    second_modality: str = "depth",
    modalities: Sequence[str] = ("rgb", "depth"),
) -> list[PairedFiles]:
    """Return the samples of a split, in the order of its list.

    Args:
        root: folder of the data set.
        split: a list of samples in it, such as `train.txt`, or a folder of them, such as `train`.
        dataset: its name.
        second_modality: what lies beside RGB.
        modalities: which to look for, see `pair_files`.

    Raises:
        DataError: there is no such split, or files of it are missing; names the first few.
    """
    path = root / split
    if os.path.isdir(path):
        return pair_files(dataset, path, False, second_modality, modalities)
    if not os.path.isfile(path):
        if os.path.isdir(root) and os.path.isdir(path.parent) and not path.suffix:
            try:
                return pair_files(dataset, path, False, second_modality, modalities)
            except DataError as error:
                if not os.path.isfile(f"{path}.txt"):
                    raise
                raise DataError(f"{error}. To read the list, name {split}.txt") from error
        raise DataError(
            f"{show(path)}: no such list or folder, expected a list of samples such as train.txt, "
            f"or a folder such as train: give --data.train_splits and --data.test_splits. "
            f"{_describe_root(root)}"
        )
    layout = find_layout(root, second_modality)
    samples, problems = pair_images(dataset, layout, False, second_modality, modalities)
    # What the list does not name need not be complete.
    if others := [problem for problem in problems if problem.kind != "unpaired"]:
        raise DataError(others[0].message)
    return select_listed(path, samples, layout, second_modality, modalities)


def select_listed(
    path: Path,
    samples: Sequence[PairedFiles],
    layout: Layout,
    second_modality: str,
    modalities: Sequence[str] = ("rgb", "depth"),
) -> list[PairedFiles]:
    """Return the samples that a list names, in its order.

    Raises:
        DataError: as for :func:`read_sample_list`, or the list names files that are not there.
    """
    by_stem = {sample.name: sample for sample in samples}
    listed = read_sample_list(path, by_stem.keys())
    found, missing = [], []
    for each in listed:
        # As the samples are named where names of files say roles: 0001 for 0001_rgb.
        sample = by_stem.get(each.stem) or by_stem.get(split_stem(each.stem)[0])
        if sample is None:
            missing.append(each)
        else:
            found.append(sample)
    if missing:
        roles = [second_modality if name == "depth" else name for name in modalities] + ["mask"]
        named = [
            f"line {each.line}: {show(each.text)}, no {_lacking(layout, roles, each.stem)}"
            for each in missing
        ]
        raise DataError(
            f"{show(path)}: {len(missing)} of {len(listed)} samples are not all there "
            f"({shorten(named, _MOST_NAMED)}), expected an image of each role in "
            f"{show(layout.folder)}: add the files, or take the lines out"
        )
    return found


def _lacking(layout: Layout, roles: Sequence[str], stem: str) -> str:
    names = {"mask": "label", "rgb": "RGB image"}
    lacking = []
    core = split_stem(stem)[0]
    for role in roles:
        sources = layout.sources.get(role, [])
        listings = [read_source(layout, role, source).images for source in sources]
        stems = {split_stem(x)[0] for images in listings for x in images} | {
            x for images in listings for x in images
        }
        if sources and not {stem, core} & stems:
            lacking.append(names.get(role, f"{OUR_NAMES[role]} image"))
    return " and no ".join(lacking) or "files of one name"


def _stem_of_line(line: str, known: Collection[str]) -> str:
    if line in known or _stem_of_path(line) in known:
        return line if line in known else _stem_of_path(line)
    words = [word for word in _SEPARATORS.split(line) if word]
    if len(words) == 1 or not all(_is_path(word) for word in words):
        return _stem_of_path(line if len(words) > 1 and not _is_path(words[0]) else words[0])
    for word in words:
        folder = word.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
        meaning = read_name(folder) if folder else None
        if meaning is not None and meaning.role == "rgb":
            return _stem_of_path(word)
    return _stem_of_path(words[0])


def _is_path(word: str) -> bool:
    return "/" in word or "\\" in word or word.lower().endswith(EXTENSIONS)


def _stem_of_path(text: str) -> str:
    name = text.replace("\\", "/").rpartition("/")[2]
    # Of a name such as 31_bag1a.7, the end is no extension.
    return name[: name.rindex(".")] if name.lower().endswith(EXTENSIONS) else name


def _describe_root(root: Path) -> str:
    if not os.path.isdir(root):
        return f"({show(root)} is no folder: give --data.root)"
    names = sorted(
        name
        for name in os.listdir(root)
        if name.endswith(".txt") or (os.path.isdir(root / name) and name[0] != ".")
    )
    return f"Found in {show(root)}: {', '.join(map(show, names[:20])) or 'neither'}"
