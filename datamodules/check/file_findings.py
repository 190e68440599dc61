"""What is found of a single file, whatever it shows."""

from collections.abc import Callable
from pathlib import Path

from numpy.typing import NDArray
from PIL import Image

from datamodules.check.finding import Report
from datamodules.errors import DataError
from datamodules.reading.array_files import is_array_file
from datamodules.reading.open_image import exif_orientation, open_image


def read_or_report(
    read: Callable[[Path], NDArray], path: Path, report: Report, kind: str = "content"
) -> NDArray | None:
    """Return what a reader returns; None if it refuses the file, which is reported.

    Args:
        read: raises `DataError`.
        path: of the file.
        report: takes the finding.
        kind: of the finding where the file can be read and is not what it should be.
    """
    try:
        return read(path)
    except DataError as error:
        # A reader of masks or depth knows best which of its own expectations failed.
        report("unreadable" if "cannot be read" in str(error) else kind, str(error))
        return None


def check_container(path: Path, report: Report) -> None:
    """Say what the container of an image that could be read may mislead about."""
    if is_array_file(path):
        return
    with open_image(path, header_only=True) as image:
        # Of a stereo camera's MPO, the first picture is read, as of a JPEG.
        named = Image.registered_extensions().get(path.suffix.lower())
        if named != ("JPEG" if image.format == "MPO" else image.format):
            report(
                "format",
                f"{path}: holds {image.format} under the name of another format; it is read by its "
                "content: rename it in time",
                False,
            )
        if exif_orientation(image) != 1:
            report(
                "orientation",
                f"{path}: turned by its EXIF data (orientation {exif_orientation(image)}), which "
                "is applied: see in the contact sheet that its partners lie the same way",
                False,
            )
