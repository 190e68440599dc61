"""A page with samples of every data set that was checked."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from datamodules.check.data_report import DataReport, DatasetReport
from datamodules.errors import DataError
from datamodules.reading.dataset_folder import PairedFiles
from datamodules.reading.depth_maps import ImageReader
from datamodules.reading.image_files import read_mask, read_rgb

_TILE = 200
_GAP = 8
_MARGIN = 24
_TITLE_HEIGHT = 34
_CAPTION_HEIGHT = 24
_TEXT_COLOUR = (30, 32, 36)
_CAPTION_COLOUR = (90, 94, 102)
_BROKEN_COLOUR = (246, 214, 210)
_OUTLINE_COLOUR = (255, 40, 40)
_HEADINGS = ("RGB", "second modality", "mask", "mask on RGB")
# Depth and thermal images alike, as they are stored.
_read_any = ImageReader(channels=3)


def draw_contact_sheet(report: DataReport, samples_per_dataset: int = 3) -> Image.Image:
    """Draw samples of every data set, evenly spaced, below one title per data set.

    Depth is shown with near = bright if the declared polarity is right, so that a wrong one is
    seen: objects are then darker than what surrounds them. A file that cannot be read is a red
    tile, a data set without samples a title alone.
    """
    width = 2 * _MARGIN + len(_HEADINGS) * (_TILE + _GAP) - _GAP
    row_height = _CAPTION_HEIGHT + _TILE + _GAP
    chosen = [_choose(dataset.samples, samples_per_dataset) for dataset in report.datasets]
    num_rows = sum(map(len, chosen))
    height = 2 * _MARGIN + _TITLE_HEIGHT * len(chosen) + row_height * num_rows
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    title_font, caption_font = ImageFont.load_default(18), ImageFont.load_default(14)
    y = _MARGIN
    for dataset, samples in zip(report.datasets, chosen, strict=True):
        draw.text((_MARGIN, y), _title(dataset), _TEXT_COLOUR, title_font)
        y += _TITLE_HEIGHT
        for sample in samples:
            draw.text((_MARGIN, y), sample.name, _CAPTION_COLOUR, caption_font)
            for column, tile in enumerate(_tiles(dataset, sample)):
                x = _MARGIN + column * (_TILE + _GAP)
                page.paste(tile, (x, y + _CAPTION_HEIGHT))
            y += row_height
    return page


def _choose(samples: Sequence[PairedFiles], count: int) -> list[PairedFiles]:
    indices = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
    return [samples[index] for index in indices]


def _title(report: DatasetReport) -> str:
    convention = (
        f"near declared {report.declared_near}, shown bright"
        if report.declared_near
        else "second modality as stored"
    )
    return f"{report.dataset.label}   {len(report.samples)} pairs, {convention}"


def _tiles(report: DatasetReport, sample: PairedFiles) -> list[Image.Image]:
    assert sample.mask is not None
    rgb = _fit_or_none(sample.rgb, lambda path: read_rgb(path).permute(1, 2, 0).numpy())
    mask = _fit_or_none(sample.mask, lambda path: _to_bytes(read_mask(path)[0].numpy()))
    inverted = report.declared_near == "dark"
    depth = _fit_or_none(sample.depth, lambda path: _read_second_modality(path, inverted))
    outlined = None
    if rgb is not None and mask is not None and rgb.size == mask.size:
        outlined = _outline(rgb, np.asarray(mask.convert("L")) > 127)
    return [_framed(image) for image in (rgb, depth, mask, outlined)]


def _read_second_modality(path: Path, inverted: bool) -> NDArray[np.uint8]:
    values = _read_any(path, "").mean(0).numpy()
    return _to_bytes(1 - values if inverted else values)


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values * 255.0).round().astype(np.uint8)


def _fit_or_none(path: Path, read: Callable[[Path], NDArray[np.uint8]]) -> Image.Image | None:
    try:
        image = Image.fromarray(read(path))
    except DataError:
        return None
    scale = _TILE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")


def _outline(rgb: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    pixels = np.array(rgb)
    pixels[mask & ~binary_erosion(mask, iterations=2)] = _OUTLINE_COLOUR
    return Image.fromarray(pixels)


def _framed(image: Image.Image | None) -> Image.Image:
    frame = Image.new("RGB", (_TILE, _TILE), _BROKEN_COLOUR if image is None else (226, 228, 232))
    if image is not None:
        frame.paste(image, ((_TILE - image.width) // 2, (_TILE - image.height) // 2))
    return frame
