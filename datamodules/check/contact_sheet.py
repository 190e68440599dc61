"""A page with samples of every data set that was checked."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.data_report import DataReport, DatasetReport
from datamodules.contact_page import PageRow, draw_page, tile_size
from datamodules.errors import DataError
from datamodules.reading.depth_maps import ImageReader
from datamodules.reading.image_files import read_rgb
from datamodules.reading.pair_files import PairedFiles

# Depth and thermal images alike, as they are stored.
_read_any = ImageReader(channels=3)


def draw_contact_sheet(report: DataReport, samples_per_dataset: int = 3) -> Image.Image:
    """Draw samples of every data set, evenly spaced, below one title per data set.

    Depth is shown with near = bright if the declared polarity is right, so that a wrong one is
    seen: objects are then darker than what surrounds them. A file that cannot be read is a red
    tile, a data set without samples a title alone.
    """
    rows = [row for dataset in report.datasets for row in _rows(dataset, samples_per_dataset)]
    return draw_page(rows or [PageRow("no data sets", {})])


def _rows(report: DatasetReport, count: int) -> Iterator[PageRow]:
    convention = (
        f"near declared {report.declared_near}, shown bright"
        if report.declared_near
        else "second modality as stored"
    )
    title = f"{report.dataset.label}   {len(report.samples)} pairs, {convention}"
    if not report.samples:
        yield PageRow("", {}, title)
    last = len(report.samples) - 1
    for index in np.linspace(0, last, min(count, last + 1)).round().astype(int):
        sample = report.samples[index]
        yield PageRow(sample.name, _tiles(report, sample), title)
        title = ""


def _tiles(report: DatasetReport, sample: PairedFiles) -> dict[str, Image.Image | None]:
    assert sample.rgb is not None and sample.depth is not None and sample.mask is not None
    in_rgb = sample.depth == sample.rgb
    rgb = _fit_or_none(sample.rgb, lambda path: read_rgb(path).transpose(1, 2, 0))
    inverted = report.declared_near == "dark"
    depth = _fit_or_none(sample.depth, lambda path: _read_second_modality(path, inverted, in_rgb))
    truth = report.dataset.truth
    drawn, over = _fit_or_none(sample.mask, truth.draw), None
    if rgb is not None and drawn is not None and rgb.size == drawn.size:
        over = truth.draw_over(rgb, drawn)
    name = truth.name.capitalize()
    return {"RGB": rgb, "Second modality": depth, name: drawn, f"{name} on RGB": over}


def _read_second_modality(path: Path, inverted: bool, in_rgb: bool) -> NDArray[np.uint8]:
    values = _read_any(path, "", in_fourth_channel=in_rgb).mean(0)
    return _to_bytes(1 - values if inverted else values)


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values * 255.0).round().astype(np.uint8)


def _fit_or_none(path: Path, read: Callable[[Path], NDArray[np.uint8]]) -> Image.Image | None:
    try:
        image = Image.fromarray(read(path))
    except DataError:
        return None
    size = tile_size(image.height, image.width)
    return image.resize(size, Image.Resampling.BILINEAR).convert("RGB")
