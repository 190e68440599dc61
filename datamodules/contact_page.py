"""A page of samples, one row of pictures each: what contact sheets are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

TILE_SIDE = 240
_MIN_TILE_WIDTH = 120
_GAP = 8
_MARGIN = 24
_HEADING_HEIGHT = 34
_CAPTION_HEIGHT = 28
_TILE_COLOUR = (226, 228, 232)
_MISSING_COLOUR = (246, 214, 210)
_TEXT_COLOUR = (30, 32, 36)
_CAPTION_COLOUR = (90, 94, 102)
# A page longer than this many rows is set in two blocks side by side.
_MAX_ROWS_PER_BLOCK = 6


@dataclass(frozen=True, eq=False)
class PageRow:
    """A row of a page.

    Attributes:
        caption: stands above its pictures.
        tiles: by heading, pictures that fit into `TILE_SIDE`; `None` for one that could not be had.
        title: begins a part of the page, above the row; may be empty.
    """

    caption: str
    tiles: dict[str, Image.Image | None]
    title: str = ""


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Return `(width, height)` of a picture of some proportions that fills a tile.

    >>> tile_size(height=30, width=60)
    (240, 120)
    """
    scale = TILE_SIDE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw_page(rows: Sequence[PageRow]) -> Image.Image:
    """Draw rows of pictures under common headings; what could not be had is a red tile."""
    headings = max((list(row.tiles) for row in rows), key=len)
    known = [tile for row in rows for tile in row.tiles.values() if tile is not None]
    tile_width = max([_MIN_TILE_WIDTH, *(tile.width for tile in known)])
    tile_height = max([tile.height for tile in known], default=_MIN_TILE_WIDTH)
    num_blocks = 1 if len(rows) <= _MAX_ROWS_PER_BLOCK else 2
    num_rows = -(-len(rows) // num_blocks)
    blocks = [rows[block * num_rows : (block + 1) * num_rows] for block in range(num_blocks)]

    def height_of(row: PageRow) -> int:
        pictures = _CAPTION_HEIGHT + tile_height + _GAP if row.tiles else 0
        return pictures + (_HEADING_HEIGHT if row.title else 0)

    block_width = max(2, len(headings)) * (tile_width + _GAP) - _GAP
    height = max(sum(map(height_of, block)) for block in blocks)
    size = (
        num_blocks * (block_width + 2 * _MARGIN),
        2 * _MARGIN + _HEADING_HEIGHT + height - _GAP,
    )
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    heading_font, caption_font = ImageFont.load_default(20), ImageFont.load_default(16)
    for number, block in enumerate(blocks):
        left = _MARGIN + number * (block_width + 2 * _MARGIN)
        columns = {name: left + i * (tile_width + _GAP) for i, name in enumerate(headings)}
        for heading, x in columns.items():
            draw.text((x, _MARGIN), heading, _TEXT_COLOUR, heading_font)
        bottom = _MARGIN + _HEADING_HEIGHT
        for row in block:
            y, bottom = bottom, bottom + height_of(row)
            if row.title:
                title = _shortened(row.title, block_width, heading_font)
                draw.text((left, y + 4), title, _TEXT_COLOUR, heading_font)
                y += _HEADING_HEIGHT
            caption = _shortened(row.caption, block_width, caption_font)
            draw.text((left, y + 4), caption, _CAPTION_COLOUR, caption_font)
            for heading, tile in row.tiles.items():
                framed = _framed(tile, (tile_width, tile_height))
                page.paste(framed, (columns[heading], y + _CAPTION_HEIGHT))
    return page


def _framed(image: Image.Image | None, size: tuple[int, int]) -> Image.Image:
    frame = Image.new("RGB", size, _MISSING_COLOUR if image is None else _TILE_COLOUR)
    if image is not None:
        frame.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return frame


def _shortened(text: str, width: int, font: Any) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
