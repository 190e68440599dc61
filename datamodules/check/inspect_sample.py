"""Look into the three files of a sample."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.duplicates import Fingerprint, fingerprint
from datamodules.check.file_findings import check_container, read_or_report
from datamodules.check.finding import Finding, Report
from datamodules.check.ground_truth import GroundTruth
from datamodules.check.polarity import ground_slope, separation
from datamodules.check.shift import shift_scores
from datamodules.reading.array_files import is_array_file
from datamodules.reading.depth_maps import DepthReader, ImageReader
from datamodules.reading.depth_outliers import Outliers
from datamodules.reading.image_files import read_rgb
from datamodules.reading.open_image import open_image, read_size
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pair_sizes import describe_size


class Inspection(NamedTuple):
    """What was seen in a sample.

    Attributes:
        name: its stem.
        findings: what is wrong.
        size: `(height, width)` of the RGB image, `None` if it cannot be read.
        depth_mode: how depth is stored, such as `8-bit` or `16-bit`; empty if it cannot be read.
        mask_values: `0, 255`, `0, 1`, or `soft` for others, `classes` for a label image; empty if
            it cannot be read.
        class_counts: see `TruthSeen`.
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
    class_counts: NDArray[np.int64] | None = None


def inspect_sample(
    label: str,
    sample: PairedFiles,
    is_depth: bool,
    asks_for_shift: bool,
    truth: GroundTruth,
) -> Inspection:
    """Read the three files as a data module does, and more closely.

    Args:
        label: path of the data set, for the findings.
        sample: the files; the mask is not `None`.
        is_depth: whether the second modality is depth; otherwise it may be constant nowhere but
            is not asked for polarity.
        asks_for_shift: whether to tell the shift of the second modality.
        truth: what kind of file the mask is.
    """
    findings: list[Finding] = []

    def report(kind: str, message: str, is_error: bool = True) -> None:
        findings.append(Finding(label, kind, message, is_error))

    assert sample.rgb is not None and sample.depth is not None and sample.mask is not None
    rgb = read_or_report(read_rgb, sample.rgb, report)
    read_second = DepthReader(near_dark_sets=()) if is_depth else ImageReader(channels=3)
    outliers = None

    def read_depth(path: Path) -> NDArray:
        nonlocal outliers
        values = read_second.read_stored(path, "", None, path == sample.rgb)
        outliers = read_second.find_outliers(values, "")
        return read_second.scale(values, "")

    depth = read_or_report(read_depth, sample.depth, report)
    for path, image in ((sample.rgb, rgb), (sample.depth, depth)):
        if image is not None:
            check_container(path, report)
    seen = truth.inspect(sample.mask, report)
    size = None if rgb is None else read_size(sample.rgb)
    sizes = [
        (sample.depth, None if depth is None else (depth.shape[-2], depth.shape[-1]), "depth map"),
        (sample.mask, None if seen is None else seen.size, truth.name),
    ]
    for path, own, what in sizes:
        if own is None or size is None:
            continue
        if problem := describe_size(path, what, own, sample.rgb, size):
            report("size", problem)

    if rgb is not None and rgb.min() == rgb.max():
        report("constant", f"{sample.rgb}: the image is constant: replace it, or remove the sample")
    if depth is not None:
        _check_depth(sample.depth, depth[0], is_depth, report)
    share = slope = print_ = scores = None
    if is_depth and depth is not None:
        object_ = None if seen is None or depth.shape[1:] != seen.size else seen.object
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
        "" if seen is None else seen.values,
        share,
        slope,
        outliers,
        scores,
        print_,
        None if seen is None else seen.class_counts,
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


def _depth_mode(path: Path) -> str:
    if is_array_file(path):
        return "array"
    with open_image(path, header_only=True) as image:
        names = {"1": "1-bit", "L": "8-bit", "I": "32-bit", "F": "float"}
        is_wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
        return "16-bit" if is_wide else names.get(image.mode, image.mode)
