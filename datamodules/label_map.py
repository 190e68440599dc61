"""What the values of a label image mean: which class each is, and which is none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mutualformer.errors import UserError
from mutualformer.ignored_label import IGNORED

_FILE = Path(__file__).with_name("label_maps.yaml")
_KEYS = {"classes", "void", "offset", "colours"}
# A class gives a score its name and heading, which are markup in no format.
_CLASS = r"[\w .%@()/+-]{1,36}"
UNKNOWN = 254
"""What `LabelMap.table` gives for a value that is neither a class nor void."""


@dataclass(frozen=True)
class LabelMap:
    """The meaning of the values of label images: value v is class v − offset, or void.

    Args:
        classes: names of the K classes, from class 0 on.
        void: values of pixels that no loss and no score counts.
        offset: value of class 0.
        colours: of each class, three numbers from 0 to 255; by default those of PASCAL VOC.
            Void is black.

    Raises:
        UserError: a class has no usable name or two have the same one, numbers are outside their
            range, or a void value is that of a class.

    >>> LabelMap(("wall", "floor"), void=(0,), offset=1).describe()
    'values 1 to 2 are the 2 classes, 0 is void'
    """

    classes: tuple[str, ...]
    void: tuple[int, ...] = ()
    offset: int = 0
    colours: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        names = self.classes
        if not 2 <= len(names) < UNKNOWN:
            raise UserError(f"classes holds {len(names)} names, expected 2 to {UNKNOWN - 1}")
        for name in names:
            if not (isinstance(name, str) and re.fullmatch(_CLASS, name)):
                raise UserError(
                    f"a class is called {name!r:.80}, expected up to 36 letters, digits, spaces, "
                    "underscores and . % @ ( ) / + - (quote yes, no and numbers in YAML)"
                )
        slugs = [slug(name) for name in names]
        if twice := [name for name, own in zip(names, slugs, strict=True) if slugs.count(own) > 1]:
            raise UserError(f"two classes are called {twice[0]!r}, expected each name once")
        for name, values in (("offset", [self.offset]), ("void", self.void)):
            for value in values:
                if type(value) is not int or not 0 <= value < 2**16:
                    raise UserError(f"{name} is {value!r:.80}, expected an integer from 0 to 65535")
        if self.offset + len(names) > 2**16:
            raise UserError(
                f"offset is {self.offset} with {len(names)} classes, expected values up to 65535"
            )
        for value in self.void:
            if 0 <= value - self.offset < len(names):
                raise UserError(
                    f"void is {value}, which is class {names[value - self.offset]} with offset "
                    f"{self.offset}, expected a value of no class"
                )
        if not self.colours:
            first = 1 if self.void else 0  # void is black, and no class where there is void
            object.__setattr__(self, "colours", voc_colours(len(names) + first)[first:])
        if len(self.colours) != len(names) or any(
            len(colour) != 3 or any(type(x) is not int or not 0 <= x <= 255 for x in colour)
            for colour in self.colours
        ):
            raise UserError(
                f"colours holds {len(self.colours)} colours for {len(names)} classes, expected one "
                "of three integers from 0 to 255 for each"
            )

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)

    @cached_property
    def table(self) -> NDArray[np.uint8]:
        """The class of each value from 0 to 65535, 255 for void, 254 for a value not known."""
        table = np.full(2**16, UNKNOWN, np.uint8)
        table[self.offset : self.offset + self.num_classes] = np.arange(self.num_classes)
        table[list(self.void)] = IGNORED
        return table

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colours by class, uint8 `(256, 3)`; void is black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: self.num_classes] = self.colours
        return palette

    def as_mapping(self) -> dict[str, Any]:
        """Return what `read_label_map` reads, in types of JSON."""
        return {
            "classes": list(self.classes),
            "void": list(self.void),
            "offset": self.offset,
            "colours": [list(colour) for colour in self.colours],
        }

    def describe(self) -> str:
        """Say in words which values are known."""
        void = " and ".join(map(str, self.void))
        return (
            f"values {self.offset} to {self.offset + self.num_classes - 1} are the "
            f"{self.num_classes} classes, "
            + (f"{void} {'are' if len(self.void) > 1 else 'is'} void" if void else "none is void")
        )


def read_label_map(given: str | Mapping[str, Any]) -> LabelMap:
    """Return the label map of a name, of a YAML file, or of a mapping.

    Args:
        given: a name in `label_maps.yaml`, a file with the keys `classes`, `void`, `offset` and
            `colours`, of which the first is needed, or the same as a mapping.

    Raises:
        UserError: there is no such map, or it is none.

    >>> read_label_map("mfnet").classes[:2], read_label_map("nyu40").void
    (('unlabelled', 'car'), (0,))
    """
    if isinstance(given, Mapping):
        return _from_mapping("label_map", given)
    known = named_label_maps()
    if given in known:
        return _from_mapping(f"label_map {given}", known[given])
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(
            f"label_map is {given}, expected one of {', '.join(known)}, a YAML file with classes, "
            "void and offset, or these themselves: --data.label_map.classes=[…]"
        )
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds no label map, expected the keys {', '.join(sorted(_KEYS))}")
    return _from_mapping(str(path), content)


def named_label_maps() -> dict[str, dict[str, Any]]:
    """Return what `label_maps.yaml` says, by name."""
    return yaml.safe_load(_FILE.read_text(encoding="utf-8"))


def slug(name: str) -> str:
    """Return the name of a class as a part of a score's name.

    >>> slug("floor mat")
    'floor_mat'
    """
    return re.sub(r"\W", "_", name)


def voc_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return the first colours of PASCAL VOC's map: bits of the number, dealt to three channels.

    >>> voc_colours(3)
    ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    """
    colours = []
    for number in range(count):
        channels = [
            sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8))
            for channel in range(3)
        ]
        colours.append((channels[0], channels[1], channels[2]))
    return tuple(colours)


def _from_mapping(owner: str, content: Mapping[str, Any]) -> LabelMap:
    if others := sorted(set(map(str, content)) - _KEYS):
        raise UserError(
            f"{owner} has the key {', '.join(others)}, expected some of {', '.join(sorted(_KEYS))}"
        )
    void = content.get("void")
    classes, colours = content.get("classes"), content.get("colours") or ()
    for name, value in (("classes", classes), ("colours", colours)):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise UserError(f"{owner}: {name} is {value!r:.80}, expected a list")
    void = () if void is None else void
    try:
        return LabelMap(
            tuple(classes or ()),
            tuple(void) if isinstance(void, Sequence) and not isinstance(void, str) else (void,),
            content.get("offset", 0),
            tuple(tuple(colour) for colour in colours),
        )
    except TypeError as error:
        raise UserError(f"{owner}: {error}, expected a list of three numbers per class") from error
    except UserError as error:
        raise UserError(f"{owner}: {error}") from error
