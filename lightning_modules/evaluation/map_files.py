"""Saliency maps and ground truths on disk: which belong together, and how they are read."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.metrics import quantise
from mutualformer.errors import UserError

# A mask may be soft at its edges, as JPEG makes it, but not in more than this share of its pixels.
_MAX_SOFT_FRACTION = 0.05
# Channels of a grey image that was stored in colour differ by this much at most, in 8-bit steps.
_MAX_CHANNEL_DIFFERENCE = 8
# A map may be resized to its ground truth if the two sides are scaled alike up to this ratio.
_MAX_DISTORTION = 1.05
_NUM_NAMES_SHOWN = 3
# Pillow tells formats by content, whatever a file is called, and hands some to other programs
# (EPS to Ghostscript), which a file from anywhere must not start.
_FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


class MapError(UserError):
    """Something is wrong with the files given by the user; of our own, so that it is told apart."""


@dataclass(frozen=True)
class MapSet:
    """A folder of predictions, paired by stem with the ground truths of a data set.

    Attributes:
        name: name of the data set.
        predictions: folder of the predictions.
        ground_truths: folder of the ground truths.
        pairs: stem, prediction, ground truth; sorted by stem.
        missing_predictions: stems of ground truths without a prediction.
        missing_ground_truths: stems of predictions without a ground truth.
    """

    name: str
    predictions: Path
    ground_truths: Path
    pairs: list[tuple[str, Path, Path]]
    missing_predictions: list[str]
    missing_ground_truths: list[str]


def pair_maps(name: str, predictions: Path, ground_truths: Path, allow_missing: bool) -> MapSet:
    """Pair two folders by file stem; extensions may differ, other files are ignored.

    Args:
        name: name of the data set.
        predictions: folder of the predictions.
        ground_truths: folder of the ground truths.
        allow_missing: whether to leave out stems that only one folder has.

    Raises:
        MapError: a folder is missing, has no images or two of one stem; no stem is in both
            folders; or one is in one only and `allow_missing` is false.
    """
    maps, masks = _images_by_stem(predictions), _images_by_stem(ground_truths)
    stems = sorted(maps.keys() & masks.keys())
    map_set = MapSet(
        name,
        predictions,
        ground_truths,
        [(stem, maps[stem], masks[stem]) for stem in stems],
        missing_predictions=sorted(masks.keys() - maps.keys()),
        missing_ground_truths=sorted(maps.keys() - masks.keys()),
    )
    if not stems:
        raise MapError(
            f"{predictions} and {ground_truths} have no file stem in common "
            f"({min(maps)} …, {min(masks)} …); expected predictions named like ground truths"
        )
    problems = [
        f"{len(missing)} of {total} {what} ({_shorten(missing)})"
        for missing, total, what in (
            (
                map_set.missing_predictions,
                len(masks),
                f"ground truths in {ground_truths} have no prediction in {predictions}",
            ),
            (
                map_set.missing_ground_truths,
                len(maps),
                f"predictions in {predictions} have no ground truth in {ground_truths}",
            ),
        )
        if missing
    ]
    if problems and not allow_missing:
        raise MapError(
            f"{' and '.join(problems)}; expected the same stems in both. --allow-missing scores "
            "what both have, and says so"
        )
    return map_set


def read_pair(prediction: Path, ground_truth: Path) -> tuple[Tensor, Tensor]:
    """Read a pair, with the prediction resized to its ground truth.

    Returns:
        The prediction, uint8 `(1, H, W)`, and the mask, bool `(1, H, W)`.

    Raises:
        MapError: a file cannot be read or is not what it should be, or the sizes do not fit.
    """
    probabilities, mask = read_prediction(prediction), read_ground_truth(ground_truth)
    size = mask.shape[-2], mask.shape[-1]
    height, width = (a / b for a, b in zip(probabilities.shape[-2:], size, strict=True))
    if max(height / width, width / height) > _MAX_DISTORTION:
        raise MapError(
            f"{prediction}: {_describe_size(probabilities)}, but its ground truth {ground_truth} "
            f"is {_describe_size(mask)}: other proportions, so it is no plain resize. Resize the "
            "map to the ground truth first, if it is of the whole image"
        )
    return quantise(probabilities, size), mask


def read_prediction(path: Path) -> Tensor:
    """Read a saliency map of 1, 8 or 16 bits (0 to 65535), or of floats in [0, 1].

    Colour images pass if their channels are equal, transparent ones if they are opaque.

    Returns:
        float32 `(1, H, W)` in [0, 1]; 8-bit levels v as v / 255.

    Raises:
        MapError: the file cannot be read, is in colour, or its values are out of range.
    """
    with _opened(path) as image:
        if image.mode[0] not in "IF":
            values = _read_grey(path, image).astype(np.float32) / 255
        else:
            values = np.array(image, np.float32)
            lowest, highest = float(values.min()), float(values.max())
            whole = image.mode[0] == "I"
            if not (lowest >= 0 and highest <= (65535 if whole else 1)):
                expected = "0 to 65535 in a 16-bit map" if whole else "0 to 1 in a map of floats"
                raise MapError(
                    f"{path}: values from {lowest:g} to {highest:g}, expected {expected}: rescale"
                )
            if whole and 0 < highest <= 255:
                raise MapError(
                    f"{path}: a 16-bit map with values up to {highest:g} only, expected 0 to "
                    "65535: it looks like 8-bit levels, store it in 8 bits"
                )
            values = values / 65535 if whole else values
    return torch.from_numpy(values)[None]


def read_ground_truth(path: Path) -> Tensor:
    """Read a binary mask, stored as {0, 255}, {0, 1} or one bit, with soft edges or without.

    Returns:
        bool `(1, H, W)`, true where the stored value exceeds 128, as in PySODMetrics.

    Raises:
        MapError: the file cannot be read, is in colour or is not binary-like.
    """
    with _opened(path) as image:
        if image.mode[0] in "IF":
            raise MapError(
                f"{path}: a ground truth of mode {image.mode}, expected 1 or 8 bits per pixel: "
                "convert it"
            )
        values = _read_grey(path, image)
    if values.max() <= 1:
        return torch.from_numpy(values == 1)[None]
    soft = np.mean((values >= 16) & (values <= 239))
    # Without the second condition, a small object stored as grey would become an empty mask.
    if soft > _MAX_SOFT_FRACTION or (soft > 0 and values.max() <= 239):
        raise MapError(
            f"{path}: not a binary mask, {soft:.1%} of its pixels lie between 16 and 239; expected "
            f"0 and 255 with at most {_MAX_SOFT_FRACTION:.0%} in between: threshold it"
        )
    return torch.from_numpy(values > 128)[None]


def _read_grey(path: Path, image: Image.Image) -> np.ndarray:
    if image.mode in ("1", "L"):
        return np.array(image.convert("L"))
    channels = np.array(image.convert("RGBA"))
    if channels[..., 3].min() < 255:
        raise MapError(f"{path}: partly transparent, expected a grey image without transparency")
    colours = channels[..., :3].astype(np.int16)
    if (colours.max(axis=2) - colours.min(axis=2)).max() > _MAX_CHANNEL_DIFFERENCE:
        raise MapError(f"{path}: a colour image, expected a grey one: convert it")
    return np.array(image.convert("RGB").convert("L"))


def _images_by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise MapError(f"{folder}: no such folder; expected a folder of images")
    extensions = {end for end, name in Image.registered_extensions().items() if name in _FORMATS}
    files = defaultdict(list)
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise MapError(f"{folder}: cannot be read: {error.strerror}") from error
    for path in paths:
        # Hidden files include the "._name.png" that macOS leaves on other file systems.
        if path.suffix.lower() in extensions and not path.name.startswith("."):
            if not path.name.isprintable():
                raise MapError(
                    f"{folder}: the name {path.name!a} holds control characters or bytes that are "
                    "no text, which no result file can hold: rename it"
                )
            files[path.stem].append(path)
    if not files:
        raise MapError(f"{folder}: no images; expected a folder of images")
    for paths in files.values():
        if len(paths) > 1:
            raise MapError(
                f"{folder}: {' and '.join(path.name for path in paths)} share a stem, expected one "
                "file per stem: remove the others"
            )
    return {stem: paths[0] for stem, paths in files.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; reading errors in the body of the `with` become a `MapError` too."""
    try:
        # Opening a named pipe would wait for ever.
        if not path.is_file():
            raise MapError(f"{path}: not a regular file, expected an image: move it away")
        with Image.open(path, formats=_FORMATS) as image:
            limit = Image.MAX_IMAGE_PIXELS or float("inf")
            if not 0 < image.width * image.height <= limit:
                raise MapError(
                    f"{path}: {image.width} x {image.height} pixels, expected at least one and at "
                    f"most {limit:.0f}: replace or shrink it"
                )
            yield image
    except MapError:
        raise
    # Pillow's decoders raise exceptions of a dozen classes on broken files.
    except Exception as error:
        reason = "the file is empty" if path.is_file() and not path.stat().st_size else str(error)
        raise MapError(f"{path}: cannot be read as an image ({reason}): replace it") from error


def _describe_size(image: Tensor) -> str:
    return f"{image.shape[-1]} x {image.shape[-2]} pixels"


def _shorten(names: list[str]) -> str:
    more = len(names) - _NUM_NAMES_SHOWN
    return ", ".join(names[:_NUM_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
