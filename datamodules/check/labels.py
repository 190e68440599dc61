"""Label images, whose values a label map explains."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.file_findings import read_or_report
from datamodules.check.finding import Report
from datamodules.check.ground_truth import GroundTruth, TruthSeen
from datamodules.label_map import UNKNOWN, LabelMap
from datamodules.reading.label_files import describe_unknown, read_label_values


@dataclass(frozen=True)
class Labels(GroundTruth):
    """Ground truths of semantic segmentation.

    Attributes:
        label_map: what their values mean.
    """

    label_map: LabelMap
    name = "label"

    def inspect(self, path: Path, report: Report) -> TruthSeen | None:
        """Count the classes of a label, and say which values the map does not know."""
        label_map = self.label_map
        read = partial(read_label_values, label_map=label_map)
        values = read_or_report(read, path, report, "label")
        if values is None:
            return None
        counts = np.bincount(label_map.table[values].ravel(), minlength=256)
        present = np.flatnonzero(counts[: label_map.num_classes])
        if counts[UNKNOWN]:
            report("label", describe_unknown(path, values, label_map))
        elif not len(present):
            report(
                "constant",
                f"{path}: every pixel is void, so that nothing is learnt or scored: replace the "
                "label, or remove the sample",
            )
        elif len(present) == 1:
            report(
                "constant",
                f"{path}: the label is empty but for {label_map.classes[present[0]]}: see in the "
                "contact sheet whether that is so",
                False,
            )
        size = (values.shape[0], values.shape[1])
        return TruthSeen(size, "classes", class_counts=counts)

    def draw(self, path: Path) -> NDArray[np.uint8]:
        """Return the classes in their colours."""
        return self.label_map.palette[self.label_map.table[read_label_values(path, self.label_map)]]

    def draw_over(self, rgb: Image.Image, drawn: Image.Image) -> Image.Image:
        """Mix the colours into the image."""
        return Image.blend(rgb, drawn, 0.6)
