"""Reading label images: one class index per pixel, by an explicit map."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.errors import DataError
from datamodules.label_map import UNKNOWN, LabelMap
from datamodules.reading.array_files import is_array_file, read_array
from datamodules.reading.decoded_image_cache import DecodedImageCache, read_through
from datamodules.reading.open_image import open_image

_MOST_NAMED = 5


def read_label(
    path: Path, label_map: LabelMap, cache: DecodedImageCache | None = None
) -> NDArray[np.uint8]:
    """Read the classes of a label image.

    Args:
        path: an image of one channel, grey or with a palette (whose colours do not count), or an
            array of integers.
        label_map: what its values mean.
        cache: keeps decoded files.

    Returns:
        uint8 `(H, W)`: classes, 255 for void.

    Raises:
        DataError: the file cannot be read, holds several channels, is a JPEG, or holds a value that
            the map does not know.
    """
    values = read_label_values(path, label_map, cache)
    classes = label_map.table[values]
    unknown = classes == UNKNOWN
    if unknown.any():
        raise DataError(describe_unknown(path, values, label_map))
    return classes


def read_label_values(
    path: Path, label_map: LabelMap, cache: DecodedImageCache | None = None
) -> NDArray:
    """Read the stored values of a label image, uint8 or uint16 `(H, W)`; errors as above.

    The map is asked only what colours mean where there are some, for the message.
    """
    values = read_through(cache, _decode_label, path)
    if values.ndim == 3:
        raise DataError(_describe_channels(path, values, label_map))
    return values


def describe_unknown(path: Path, values: NDArray, label_map: LabelMap) -> str:
    """Say which values a map does not know, and what may be meant by them."""
    found, counts = np.unique(values, return_counts=True)
    strange = label_map.table[found] == UNKNOWN
    shares = [
        f"{value} in {count / values.size:.2%}"
        for value, count in zip(found[strange], counts[strange], strict=True)
    ]
    more = f" and {len(shares) - _MOST_NAMED} more values" if len(shares) > _MOST_NAMED else ""
    known = set(found[~strange].tolist())
    hint = ""
    last = label_map.offset + label_map.num_classes - 1
    if found[strange].tolist() == [255] and label_map.offset:
        hint = (
            " (255 is void where classes begin at 0: then give the map of that layout, such as "
            "nyu40_from_0, or offset 0 and void 255)"
        )
    elif found[strange].tolist() == [255]:
        hint = " (if 255 is void, say so in the map)"
    elif found[strange].tolist() == [last + 1] and last not in label_map.void and known:
        hint = " (classes may begin one value higher there: offset one more, and void below it)"
    elif found[strange].tolist() == [label_map.offset - 1]:
        hint = " (classes may begin one value lower there: offset one less; or it is void)"
    return (
        f"{path}: the value {', '.join(shares[:_MOST_NAMED])}{more} of its pixels is unknown, "
        f"expected what --data.label_map says: {label_map.describe()}{hint}. Give the right map, "
        "or mend the file"
    )


def check_labels(paths: Iterable[Path], label_map: LabelMap) -> None:
    """Read all labels once, so that a wrong one is told before a training and not in its middle.

    Raises:
        DataError: of the first that is wrong.
    """
    for path in paths:
        read_label(path, label_map)


def _decode_label(path: Path) -> NDArray:
    """Return values `(H, W)`, or colours `(H, W, 3)`, which are an error."""
    if is_array_file(path):
        values = read_array(path)
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        if values.ndim != 2 or values.dtype.kind == "f" or values.dtype == np.int32:
            raise DataError(
                f"{path}: an array of shape {values.shape} and type {values.dtype}, expected "
                "integers from 0 to 65535 of (height, width): save it so"
            )
        return values
    with open_image(path) as image:
        if image.format == "JPEG":
            raise DataError(
                f"{path}: a JPEG file, which changes values near edges, expected a lossless file "
                "such as PNG: get the labels anew"
            )
        if len(image.getbands()) > 1:
            return np.array(image.convert("RGB"))
        values = np.array(image)
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() >= 2**16:
        raise DataError(
            f"{path}: values from {values.min():g} to {values.max():g} of type {values.dtype}, "
            "expected whole numbers from 0 to 65535: convert it"
        )
    return values if values.dtype == np.uint8 else values.astype(np.uint16)


def _describe_channels(path: Path, colours: NDArray, label_map: LabelMap) -> str:
    red, green, blue = (colours[..., channel] for channel in range(3))
    if (red == green).all() and (red == blue).all():
        found, remedy = "the same grey value in three", "save one of them"
    else:
        there = {tuple(colour) for colour in np.unique(colours.reshape(-1, 3), axis=0).tolist()}
        known = {tuple(colour) for colour in label_map.palette.tolist()}
        if there <= known:
            found = f"the {len(there)} colours of the map's palette in three"
            remedy = "store the index of each colour; or get the labels with their palette anew"
        else:
            found = f"{len(there)} colours in three or more"
            remedy = "translate colours to class indices, by the data set's own table"
    return (
        f"{path}: {found} channels, expected one channel of class indices "
        f"({label_map.describe()}): {remedy}"
    )
