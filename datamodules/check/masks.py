"""Masks: one object or more, in front of a background."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.file_findings import check_container, read_or_report
from datamodules.check.finding import Report
from datamodules.check.ground_truth import GroundTruth, TruthSeen
from datamodules.reading.image_files import read_mask
from datamodules.reading.open_image import open_image

# A mask inside the other way round reaches most of the border; few objects do.
_MAX_BORDER_FRACTION = 0.9
_OUTLINE_COLOUR = (255, 40, 40)


class Masks(GroundTruth):
    """Ground truths of saliency."""

    name = "mask"

    def inspect(self, path: Path, report: Report) -> TruthSeen | None:
        """Tell how a mask is stored, and whether it can be one."""
        read = read_or_report(read_mask, path, report)
        if read is None:
            return None
        mask = read[0]
        check_container(path, report)
        _check_mask(path, mask, report)
        return TruthSeen((mask.shape[0], mask.shape[1]), _mask_values(path), mask)

    def draw(self, path: Path) -> NDArray[np.uint8]:
        """Return the mask in black and white."""
        return read_mask(path)[0].astype(np.uint8) * 255

    def draw_over(self, rgb: Image.Image, drawn: Image.Image) -> Image.Image:
        """Outline the object."""
        mask = np.asarray(drawn.convert("L")) > 127
        pixels = np.array(rgb)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        # What is beyond the border counts as background, so that an outline closes there.
        border = cv2.BORDER_CONSTANT
        inner = cv2.erode(
            mask.astype(np.uint8), cross, iterations=2, borderType=border, borderValue=0
        )
        pixels[mask & (inner == 0)] = _OUTLINE_COLOUR
        return Image.fromarray(pixels)


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
