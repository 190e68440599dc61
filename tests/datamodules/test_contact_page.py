"""Pages of pictures: where things stand on them."""

import numpy as np
from PIL import Image

from datamodules.contact_page import TILE_SIDE, PageRow, draw_page, tile_size

BLUE, RED = (0, 0, 250), (246, 214, 210)


def tile(width=TILE_SIDE, height=TILE_SIDE):
    return Image.new("RGB", (width, height), BLUE)


def colours_of(page, row, column):
    x, y = 24 + column * (TILE_SIDE + 8), 24 + 34 + 28 + row * (28 + TILE_SIDE + 8)
    return {
        tuple(pixel) for pixel in np.array(page)[y + 5 : y + 200, x + 5 : x + 200].reshape(-1, 3)
    }


def test_pictures_stand_under_their_headings_and_missing_ones_are_red():
    rows = [
        PageRow("a", {"RGB": tile(), "Mask": tile()}),
        PageRow("b", {"RGB": None, "Mask": tile()}),
    ]
    page = draw_page(rows)
    assert page.size == (2 * 24 + 2 * 248 - 8, 2 * 24 + 34 + 2 * (28 + TILE_SIDE + 8) - 8)
    assert colours_of(page, 0, 0) == colours_of(page, 0, 1) == colours_of(page, 1, 1) == {BLUE}
    assert colours_of(page, 1, 0) == {RED}


def test_a_title_moves_its_row_down_and_may_stand_alone():
    plain = draw_page([PageRow("a", {"RGB": tile()})])
    titled = draw_page([PageRow("a", {"RGB": tile()}, "A title"), PageRow("", {}, "No samples")])
    assert titled.height == plain.height + 2 * 34
    column = np.array(titled)[:, 24 + 100]
    blue = np.flatnonzero((column == BLUE).all(axis=-1))
    assert (blue[0], blue[-1]) == (24 + 34 + 34 + 28, 24 + 34 + 34 + 28 + TILE_SIDE - 1)


def test_many_rows_make_two_blocks_and_long_captions_stay_in_theirs():
    rows = [PageRow(f"{i} {'long ' * 200}", {"RGB": tile(), "Mask": tile()}) for i in range(7)]
    page = np.array(draw_page(rows))
    block = 2 * 24 + 2 * 248 - 8
    assert page.shape[1] == 2 * block
    assert (page[:, block - 24 : block + 24] == 255).all() and (page[:, -24:] == 255).all()


def test_a_page_without_any_picture():
    assert draw_page([PageRow("", {"RGB": None})]).width > 0
    assert draw_page([PageRow("nothing", {})]).width > 0


def test_the_longest_side_fills_a_tile():
    assert tile_size(height=500, width=7) == (3, TILE_SIDE)
    assert tile_size(height=1, width=5000) == (TILE_SIDE, 1)
