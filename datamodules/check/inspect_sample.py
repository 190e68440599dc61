"""Look into the three files of a sample."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.duplicates import Fingerprint, fingerprint
from datamodules.check.finding import Finding, Report
from datamodules.check.polarity import ground_slope, separation
from datamodules.check.shift import shift_scores
from datamodules.errors import DataError
from datamodules.reading.depth_maps import DepthReader, ImageReader
from datamodules.reading.depth_outliers import Outliers
from datamodules.reading.image_files import read_mask, read_rgb
from datamodules.reading.open_image import exif_orientation, open_image, read_size
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pair_sizes import describe_size

# A mask inside the other way round reaches most of the border; few objects do.
_MAX_BORDER_FRACTION = 0.9


class Inspection(NamedTuple):
    """What was seen in a sample.

    Attributes:
        name: its stem.
        findings: what is wrong.
        size: `(height, width)` of the RGB image, `None` if it cannot be read.
        depth_mode: how depth is stored, such as `8-bit` or `16-bit`; empty if it cannot be read.
        mask_values: `0, 255`, `0, 1`, or `soft` for others; empty if it cannot be read.
        separation, ground_slope: see `polarity`; `None` if the sample cannot tell.
        outliers: of the second modality, that spoil its range.
        shift_scores: see `shift`; `None` if the sample was not asked or cannot tell.
        fingerprint: of the RGB image, `None` if it cannot be read.
    """

    name: str
    findings: list[Finding]
    size: tuple[int, int] | None
    depth_mode: str
    mask_values: str
    separation: float | None
    ground_slope: float | None
    outliers: Outliers | None
    shift_scores: NDArray[np.float32] | None
    fingerprint: Fingerprint | None


def inspect_sample(
    label: str, sample: PairedFiles, is_depth: bool, asks_for_shift: bool
) -> Inspection:
    """Read the three files as a data module does, and more closely.

    Args:
        label: path of the data set, for the findings.
        sample: the files; the mask is not `None`.
        is_depth: whether the second modality is depth; otherwise it may be constant nowhere but
            is not asked for polarity.
        asks_for_shift: whether to tell the shift of the second modality.
    """
    findings: list[Finding] = []

    def report(kind: str, message: str, is_error: bool = True) -> None:
        findings.append(Finding(label, kind, message, is_error))

    def attempt(read: Callable[[Path], NDArray], path: Path) -> NDArray | None:
        try:
            return read(path)
        except DataError as error:
            # A reader of masks or depth knows best which of its own expectations failed.
            kind = "unreadable" if "cannot be read" in str(error) else "content"
            report(kind, str(error))
            return None

    assert sample.rgb is not None and sample.depth is not None and sample.mask is not None
    rgb = attempt(read_rgb, sample.rgb)
    read_second = DepthReader(near_dark_sets=()) if is_depth else ImageReader(channels=3)
    outliers = None

    def read_depth(path: Path) -> NDArray:
        nonlocal outliers
        values = read_second.read_stored(path, "", None, path == sample.rgb)
        outliers = read_second.find_outliers(values, "")
        return read_second.scale(values, "")

    depth = attempt(read_depth, sample.depth)
    mask = attempt(read_mask, sample.mask)
    for path, image in ((sample.rgb, rgb), (sample.depth, depth), (sample.mask, mask)):
        if image is not None:
            _check_container(path, report)
    size = None if rgb is None else read_size(sample.rgb)
    for path, image, what in ((sample.depth, depth, "depth map"), (sample.mask, mask, "mask")):
        if image is not None and size is not None:
            own = (image.shape[-2], image.shape[-1])
            if problem := describe_size(path, what, own, sample.rgb, size):
                report("size", problem)

    if rgb is not None and rgb.min() == rgb.max():
        report("constant", f"{sample.rgb}: the image is constant: replace it, or remove the sample")
    if depth is not None:
        _check_depth(sample.depth, depth[0], is_depth, report)
    mask_values = ""
    if mask is not None:
        mask_values = _mask_values(sample.mask)
        _check_mask(sample.mask, mask[0], report)
    share = slope = print_ = scores = None
    if is_depth and depth is not None:
        object_ = None if mask is None or depth.shape != mask.shape else mask[0]
        slope = ground_slope(depth[0], object_)
        share = None if object_ is None else separation(depth[0], object_)
    if rgb is not None:
        photograph = Image.fromarray(rgb.transpose(1, 2, 0))
        print_ = fingerprint(photograph)
        if asks_for_shift and depth is not None and depth.shape[1:] == rgb.shape[1:]:
            scores = shift_scores(np.asarray(photograph.convert("L")), depth.mean(0))
    depth_mode = "" if depth is None else _depth_mode(sample.depth)
    return Inspection(
        sample.name,
        findings,
        size,
        depth_mode,
        mask_values,
        share,
        slope,
        outliers,
        scores,
        print_,
    )


def _check_container(path: Path, report: Report) -> None:
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


def _check_depth(path: Path, depth: NDArray[np.float32], is_depth: bool, report: Report) -> None:
    what = "depth map" if is_depth else "thermal image"
    if depth.min() == depth.max():
        report("constant", f"{path}: the {what} is constant: replace it, or remove the sample")
        return
    if not is_depth:
        return
    if np.isin(depth, (0, 1)).all():
        report(
            "content",
            f"{path}: the depth map holds two values only, as a mask does: check that it lies in "
            "the right folder",
        )


def _check_mask(path: Path, mask: NDArray[np.bool_], report: Report) -> None:
    if not mask.any() or mask.all():
        what = "full" if mask.any() else "empty"
        report("constant", f"{path}: the mask is {what}: replace it, or remove the sample")
        return
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    if border.mean() > _MAX_BORDER_FRACTION:
        report(
            "content",
            f"{path}: the object covers {border.mean():.0%} of the border: invert the mask if it "
            "marks the background",
            False,
        )


def _mask_values(path: Path) -> str:
    with open_image(path) as image:
        values = np.unique(np.asarray(image.convert("L"))).tolist()
    for binary in ([0, 255], [0, 1]):
        if set(values) <= set(binary):
            return ", ".join(map(str, binary))
    return "soft"


def _depth_mode(path: Path) -> str:
    with open_image(path, header_only=True) as image:
        names = {"1": "1-bit", "L": "8-bit", "I": "32-bit", "F": "float"}
        is_wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
        return "16-bit" if is_wide else names.get(image.mode, image.mode)
