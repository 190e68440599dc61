"""Whether the files of a pair are of one size."""

from pathlib import Path

from datamodules.errors import DataError
from datamodules.reading.open_image import read_size
from datamodules.reading.pair_files import PairedFiles


def check_sizes(sample: PairedFiles, resize_depth: bool, target: str = "mask") -> None:
    """Compare the sizes of the files of a pair, from their headers.

    Args:
        sample: the files.
        resize_depth: whether depth may be of another size.
        target: what the ground truth is called.

    Raises:
        DataError: a file has no readable header, or another size than the first.
    """
    first = sample.rgb or sample.depth
    assert first is not None
    expected = read_size(first)
    for path, kind in ((sample.depth, "depth map"), (sample.mask, target)):
        if path not in (None, first) and not (kind == "depth map" and resize_depth):
            problem = describe_size(path, kind, read_size(path), first, expected)
            if problem:
                raise DataError(problem)


def describe_size(
    path: Path, kind: str, size: tuple[int, int], first: Path, expected: tuple[int, int]
) -> str:
    """Say what is wrong with the size of a depth map or a mask; empty if it is the first one's."""
    if size == expected:
        return ""
    remedy = "resize the file"
    if kind == "depth map":
        remedy += ", or give --data.resize_depth=true"
    if size == expected[::-1]:
        remedy = f"turn it, or take EXIF data out of {first.name} if that turns it wrongly"
    return (
        f"{path}: the {kind} has {size[0]} × {size[1]} pixels (height × width), expected "
        f"{expected[0]} × {expected[1]} as in {first.parent.name}/{first.name}: {remedy}"
    )
