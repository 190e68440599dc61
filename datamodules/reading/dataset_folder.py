"""What lies in a folder of images."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datamodules.errors import DataError

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".jp2", ".pgm", ".ppm", ".webp"),
    ".npy",
)


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
    """List the images of a folder by stem, in Unicode's composed form (NFC).

    Files whose extension is not one of `EXTENSIONS`, and hidden files, are no images.

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
    """Return the images of a folder by stem; see `read_image_folder` for what is an image.

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
                "ambiguous",
                f"{folder}: 1 stem with several files ({names}), expected one file per stem: "
                "remove the others",
            )


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


def shorten(names: list[str], most: int = 3) -> str:
    """Join the first few of many names, and say how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
