"""Classes of pixels in colour: alone, and over the image with a legend."""

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn.functional import interpolate

from datamodules.label_map import LabelMap

_OPACITY = 0.6
_SWATCH = 12
_GAP = 6
_FONT_SIZE = 12
_TEXT_COLOUR = (30, 32, 36)


def colour_classes(classes: Tensor, label_map: LabelMap) -> Tensor:
    """Return the colours of classes `(B, H, W)` as `(B, 3, H, W)` in [0, 1]; void is black.

    >>> colour_classes(torch.tensor([[[0, 255]]]), LabelMap(("a", "b"), void=(255,))).shape
    torch.Size([1, 3, 1, 2])
    """
    palette = torch.from_numpy(label_map.palette.astype(np.float32) / 255).to(classes.device)
    return palette[classes.long()].movedim(-1, 1)


def draw_overlay(image: Tensor, classes: Tensor, label_map: LabelMap) -> Image.Image:
    """Draw classes over an image, and below it the name and share of each class that is there.

    Args:
        image: `(1 or 3, h, w)` in [0, 1], of any size.
        classes: `(H, W)`; the picture is W wide, and the legend is added below its H rows.
        label_map: names and colours.
    """
    height, width = classes.shape
    grown = interpolate(image[None].float().cpu(), size=(height, width), mode="bilinear")[0]
    grey = grown.expand(3, -1, -1).clamp(0, 1)
    mixed = (1 - _OPACITY) * grey + _OPACITY * colour_classes(classes[None], label_map)[0]
    pixels = (mixed * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    counts = np.bincount(classes.flatten().numpy(), minlength=label_map.num_classes)
    present = [int(x) for x in np.argsort(-counts, kind="stable") if counts[x]]
    entries = [f"{label_map.classes[x]} {counts[x] / counts.sum():.1%}" for x in present]
    font = ImageFont.load_default(_FONT_SIZE)
    cells = [_SWATCH + _GAP + int(font.getlength(text)) + 2 * _GAP for text in entries]
    rows: list[list[int]] = [[]]
    for index, cell in enumerate(cells):
        if rows[-1] and sum(cells[i] for i in rows[-1]) + cell > width:
            rows.append([])
        rows[-1].append(index)
    line = _SWATCH + _GAP
    page = Image.new("RGB", (width, height + len(rows) * line + _GAP), "white")
    page.paste(Image.fromarray(pixels))
    draw = ImageDraw.Draw(page)
    for number, row in enumerate(rows):
        left, top = _GAP, height + _GAP + number * line
        for index in row:
            colour = label_map.colours[present[index]]
            draw.rectangle((left, top, left + _SWATCH - 1, top + _SWATCH - 1), colour, "black")
            draw.text((left + _SWATCH + _GAP, top - 2), entries[index], _TEXT_COLOUR, font)
            left += cells[index]
    return page
