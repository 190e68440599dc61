"""Draw a few samples of a run on one page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datamodules.files import write_if_possible
from lightning_modules.base_module import BaseModule
from lightning_modules.metrics import quantise
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import send_picture
from mutualformer.errors import UserError

_TILE = 240
_MIN_TILE_WIDTH = 120
_GAP = 8
_MARGIN = 24
_HEADING_HEIGHT = 34
_CAPTION_HEIGHT = 28
_PAGE_COLOUR = "white"
_TILE_COLOUR = (226, 228, 232)
_TEXT_COLOUR = (30, 32, 36)
_CAPTION_COLOUR = (90, 94, 102)
# A page longer than this many rows is set in two blocks side by side.
_MAX_ROWS_PER_BLOCK = 6


@dataclass(frozen=True, eq=False)
class _Sample:
    caption: str
    tiles: dict[str, Image.Image]


class ContactSheet(Callback):
    """Write a page of the module's ``pictures`` of a few samples: RGB, depth, prediction, mask.

    The page is ``contact_sheet_<stage>.png`` in the run's folder (``trainer.default_root_dir``),
    stage ``train``, ``test`` or ``predict``. In test and predict it shows the first samples that
    the first process saw, shared out evenly over the datasets, at their original aspect ratio. In
    training it shows the first batch of the first process before the first step: what the network
    sees, augmented and square, without predictions.

    Args:
        num_samples: rows on the page, at least 1.

    Attributes:
        path: the page; None until it is written.

    Raises:
        ValueError: If ``num_samples`` is below 1.
    """

    def __init__(self, num_samples: int = 12) -> None:
        if num_samples < 1:
            raise UserError(f"expected num_samples of at least 1, got {num_samples}")
        self.num_samples = num_samples
        self.path: Path | None = None
        self._samples: dict[str, list[_Sample]] = {}
        self._train_page_is_written = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the samples of an earlier run."""
        self._samples.clear()

    on_train_start = on_predict_start = on_test_start

    def on_train_batch_start(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, batch: dict[str, Any], *_: Any
    ) -> None:
        """Write the page of ``train`` at the first step of this process."""
        if self._train_page_is_written:
            return
        self._train_page_is_written = True
        if trainer.is_global_zero:
            pictures = pl_module.pictures(batch)
            size = next(iter(pictures.values())).shape[-2:]
            for index, dataset in enumerate(batch["dataset"][: self.num_samples]):
                sample = _sample(batch, index, (size[0], size[1]), pictures)
                self._samples.setdefault(dataset, []).append(sample)
            self._write(trainer, "train")

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Send the page of ``train``; W&B loses the first scalars if a picture comes before."""
        if trainer.is_global_zero and self.path is not None:
            send_picture(trainer, "contact_sheet_train", self.path)

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Keep thumbnails of the first samples of each dataset."""
        if not trainer.is_global_zero:
            return
        pictures: dict[str, Tensor] = {}
        for index, dataset in enumerate(batch["dataset"]):
            samples = self._samples.setdefault(dataset, [])
            if len(samples) < self.num_samples:
                pictures = pictures or pl_module.pictures(batch, outputs)
                height, width = (int(side) for side in batch["original_size"][index])
                samples.append(_sample(batch, index, (height, width), pictures))

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the page of ``test``."""
        self._write(trainer, "test")

    def on_predict_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the page of ``predict``."""
        self._write(trainer, "predict")

    def _write(self, trainer: Trainer, stage: str) -> None:
        if not self._samples:
            return
        by_turns = chain.from_iterable(zip_longest(*self._samples.values()))
        chosen = [sample for sample in by_turns if sample is not None][: self.num_samples]
        # The page groups them by dataset again, in the order the datasets were seen.
        chosen = [s for s in chain.from_iterable(self._samples.values()) if s in chosen]
        self.path = RunFolder(trainer.default_root_dir).contact_sheet(stage)
        self._samples.clear()
        if not write_if_possible(self.path, partial(_draw_page(chosen).save, format="PNG")):
            self.path = None
            return
        rank_zero_info(f"Contact sheet: {self.path}")
        if stage != "train":
            send_picture(trainer, f"contact_sheet_{stage}", self.path)


def _sample(
    batch: dict[str, Any], index: int, size_shown: tuple[int, int], pictures: Mapping[str, Tensor]
) -> _Sample:
    height, width = size_shown
    scale = _TILE / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return _Sample(
        caption=f"{batch['dataset'][index]} / {batch['name'][index]}   {width} x {height}",
        tiles={heading: _thumbnail(images[index], size) for heading, images in pictures.items()},
    )


def _thumbnail(image: Tensor, size: tuple[int, int]) -> Image.Image:
    height, width = image.shape[1:]
    channels = [quantise(channel[None].clamp(0, 1), (height, width))[0] for channel in image]
    bands = [Image.fromarray(channel.cpu().numpy()) for channel in channels]
    merged = Image.merge("RGB", bands if len(bands) == 3 else bands * 3)
    # PIL filters when it shrinks, which quantise must not.
    return merged.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def _draw_page(samples: list[_Sample]) -> Image.Image:
    headings = max((list(sample.tiles) for sample in samples), key=len)
    tiles = [tile for sample in samples for tile in sample.tiles.values()]
    tile_width = max(_MIN_TILE_WIDTH, *(tile.width for tile in tiles))
    tile_height = max(tile.height for tile in tiles)
    num_blocks = 1 if len(samples) <= _MAX_ROWS_PER_BLOCK else 2
    num_rows = -(-len(samples) // num_blocks)

    block_width = len(headings) * (tile_width + _GAP) - _GAP
    row_height = _CAPTION_HEIGHT + tile_height + _GAP
    page = Image.new(
        "RGB",
        (
            num_blocks * (block_width + 2 * _MARGIN),
            2 * _MARGIN + _HEADING_HEIGHT + num_rows * row_height - _GAP,
        ),
        _PAGE_COLOUR,
    )
    draw = ImageDraw.Draw(page)
    heading_font, caption_font = ImageFont.load_default(20), ImageFont.load_default(16)
    for block in range(num_blocks):
        left = _MARGIN + block * (block_width + 2 * _MARGIN)
        for column, heading in enumerate(headings):
            x = left + column * (tile_width + _GAP)
            draw.text((x, _MARGIN), heading, _TEXT_COLOUR, heading_font)
        for row, sample in enumerate(samples[block * num_rows : (block + 1) * num_rows]):
            y = _MARGIN + _HEADING_HEIGHT + row * row_height
            caption = _shortened(sample.caption, block_width, caption_font)
            draw.text((left, y + 4), caption, _CAPTION_COLOUR, caption_font)
            for column, heading in enumerate(headings):
                if heading in sample.tiles:
                    x = left + column * (tile_width + _GAP)
                    tile = _framed(sample.tiles[heading], (tile_width, tile_height))
                    page.paste(tile, (x, y + _CAPTION_HEIGHT))
    return page


def _framed(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    frame = Image.new("RGB", size, _TILE_COLOUR)
    frame.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return frame


def _shortened(text: str, width: int, font: Any) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
