"""What an image shows, told from the name of its folder or of its file.

A name is read word by word, whatever the letter case, singular or plural, and whatever separates
the words: `train_images`, `Depth-Maps` and `GroundTruth` say RGB, depth and mask. A name with a
word that is not known here (`unfilled_depth`, `predictions`) says nothing, and is left alone.
"""

import re
from typing import NamedTuple

# By what they show: words in use, the first of each ours. Of those after the bar, a folder is known
# only where no other one of the same role lies beside it.
_WORDS = {
    "rgb": "RGB colour color visible vis | left right v",
    "depth": "depth | disparity disp d",
    "thermal": "T thermal infrared ir tir lwir ther | modal",
    "nir": "NIR nearinfrared",
    "hha": "HHA",
    "event": "event",
    "lidar": "LiDAR",
    "mask": "GT mask groundtruth | label annotation",
}
OUR_NAMES = {role: words.split()[0] for role, words in _WORDS.items()}

_ROLE_OF = {
    word.lower(): role for role, words in _WORDS.items() for word in words.split() if word != "|"
}
_WEAK = {word for words in _WORDS.values() for word in words.partition("|")[2].split()}
# Of any role; alone, they mean RGB.
_PICTURE_WORDS = {"image", "img", "picture", "photo", "frame", "jpeg"}
_OTHER_WORDS = {"map", "data", "dataset", "set", "file", "folder", "object"}
_SPLITS = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "test": "test",
    "testing": "test",
    "te": "test",
    "val": "val",
    "validation": "val",
}
_SIDES = {"left", "right"}

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_]")
_SEPARATOR = re.compile(r"[-_. ]+")
# Without a separator, a word of several letters before or after a number: img001, 001depth.
_BEFORE_NUMBER = re.compile(r"([^\W\d_]{2,})(?=\d)")
_AFTER_NUMBER = re.compile(r"(?<=\d)([^\W\d_]{2,})$")


class NameMeaning(NamedTuple):
    """What a name says.

    Attributes:
        role: `rgb`, `depth`, `thermal`, `nir`, `hha`, `event`, `lidar` or `mask`.
        split: `train`, `test`, `val`, or empty.
        side: `left`, `right`, or empty.
        is_weak: whether another name of the role has precedence.
    """

    role: str
    split: str = ""
    side: str = ""
    is_weak: bool = False


def read_name(name: str) -> NameMeaning | None:
    """Return what the name of a folder says of the images in it; `None` if it says nothing.

    >>> read_name("train_images"), read_name("GT"), read_name("unfilled_depth")
    (NameMeaning(role='rgb', split='train', side='', is_weak=False), \
NameMeaning(role='mask', split='', side='', is_weak=False), None)
    """
    whole = _singular(re.sub(r"[-_. ]", "", name).lower())
    words = [whole] if whole in _ROLE_OF else [_singular(x.lower()) for x in _WORD.findall(name)]
    split = next((_SPLITS[word] for word in words if word in _SPLITS), "")
    side = next((word for word in words if word in _SIDES), "")
    rest = [word for word in words if word not in _SPLITS and word not in _OTHER_WORDS]
    telling = "".join(word for word in rest if word not in _PICTURE_WORDS and word not in _SIDES)
    if not telling and not rest:
        return None
    if not telling:
        return NameMeaning("rgb", split, side, is_weak=not _PICTURE_WORDS.intersection(rest))
    role = _ROLE_OF.get(telling)
    return None if role is None else NameMeaning(role, split, side, telling in _WEAK)


def names_of(role: str) -> list[str]:
    """Return the names of folders that say a role, for an error; plurals are accepted too."""
    return _WORDS[role].replace("|", " ").split() + (["image", "img"] if role == "rgb" else [])


def split_stem(stem: str) -> tuple[str, str | None]:
    """Part the stem of a file into what names the sample, and the role that the rest says.

    >>> split_stem("001_Depth"), split_stem("img-001"), split_stem("scene_1")
    (('001', 'depth'), ('001', 'rgb'), ('scene_1', None))
    """
    separators = list(_SEPARATOR.finditer(stem))
    # The longest end, or else the longest beginning, that consists of known words.
    for match in separators:
        if match.start() and (meaning := read_name(stem[match.end() :])):
            return stem[: match.start()], meaning.role
    for match in reversed(separators):
        if match.end() < len(stem) and (meaning := read_name(stem[: match.start()])):
            return stem[match.end() :], meaning.role
    for joined in (_AFTER_NUMBER.search(stem), _BEFORE_NUMBER.match(stem)):
        if joined and (meaning := read_name(joined[1])):
            return stem[: joined.start()] + stem[joined.end() :], meaning.role
    return stem, None


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and word not in _ROLE_OF else word
