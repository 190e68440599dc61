"""A third kind of ground truth is checked by what it says itself."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datamodules.check import check_root, draw_contact_sheet
from datamodules.check.contact_sheet import _tiles
from datamodules.check.file_findings import read_or_report
from datamodules.check.find_datasets import FoundDataset
from datamodules.check.finding import Report
from datamodules.check.ground_truth import GroundTruth, TruthSeen
from datamodules.errors import DataError


class Distances(GroundTruth):
    name = "distance"

    def inspect(self, path: Path, report: Report) -> TruthSeen | None:
        distances = read_or_report(self.draw, path, report, "distance")
        if distances is None:
            return None
        if not distances.any():
            report("constant", f"{path}: nothing was measured")
        return TruthSeen((distances.shape[0], distances.shape[1]), "metres")

    def draw(self, path: Path) -> NDArray[np.uint8]:
        with Image.open(path) as image:
            if image.mode != "L":
                raise DataError(f"{path}: {image.mode}, expected one channel")
            return np.array(image)

    def draw_over(self, rgb: Image.Image, drawn: Image.Image) -> Image.Image:
        return Image.blend(rgb, drawn, 0.5)


def test_a_third_kind_of_ground_truth_is_checked_and_drawn(
    builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FoundDataset, "truth", Distances())
    folder = builder.add("mine", ("a", "b", "c", "d")) / "GT"
    Image.new("L", (64, 48)).save(folder / "a.png")
    Image.new("RGB", (64, 48)).save(folder / "b.png")
    Image.new("L", (64, 40), 9).save(folder / "c.png")
    report = check_root(builder.root)
    found = {(x.kind, x.message.partition(" (")[0]) for x in report.findings if x.is_error}
    assert ("constant", f"{folder}/a.png: nothing was measured") in found
    assert ("distance", f"{folder}/b.png: RGB, expected one channel") in found
    (wrong,) = [message for kind, message in found if kind == "size"]
    assert wrong.startswith(f"{folder}/c.png: the distance has 40 × 64 pixels")
    (seen,) = report.datasets
    assert seen.mask_values == {"metres": 3} and seen.class_counts is None
    tiles = [_tiles(seen, sample) for sample in seen.samples]
    assert [*tiles[0]] == ["RGB", "Second modality", "Distance", "Distance on RGB"]
    assert tiles[1]["Distance"] is None and tiles[3]["Distance on RGB"] is not None
    assert draw_contact_sheet(report).width > 500


@pytest.mark.parametrize("kind", ["masks", "labels"])
def test_a_label_is_no_mask(builder, kind: str) -> None:
    """Masks tell the polarity and their border, labels their classes, and neither the other's."""
    from datamodules.label_map import LabelMap

    builder.add("mine")
    label_map = None if kind == "masks" else LabelMap(("no", "yes"), void=(7,), offset=0)
    (seen,) = check_root(builder.root, label_map=label_map).datasets
    wrong = [x.message for x in seen.findings if x.kind == "label" and x.is_error]
    assert (seen.class_counts is None) == (kind == "masks")
    assert len(wrong) == (0 if kind == "masks" else 3)
    assert set(seen.mask_values) == ({"0, 255"} if kind == "masks" else {"classes"})
