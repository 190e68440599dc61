"""The size that images are brought to: one number for a square, or height and width."""

from collections.abc import Sequence
from typing import Any

from mutualformer.errors import UserError

ImageSize = int | Sequence[int]
"""Of any number, so that `height_and_width` says what is expected, and not a parser of types."""


def height_and_width(image_size: ImageSize, smallest: int = 32) -> tuple[int, int]:
    """Return the height and the width that an image size stands for.

    Args:
        image_size: in pixels.
        smallest: that a side may be.

    Raises:
        UserError: it is neither one whole number nor two, or too small.

    >>> height_and_width(352), height_and_width((352, 480))
    ((352, 352), (352, 480))
    """
    is_pair = isinstance(image_size, list | tuple)
    sides: list[Any] = [*image_size] if is_pair else [image_size, image_size]  # type: ignore[misc]
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise UserError(
            f"image_size is {image_size!r}, expected one whole number of pixels, or two: "
            "[HEIGHT, WIDTH]"
        )
    if min(sides) < smallest:
        raise UserError(f"image_size is {image_size}, expected at least {smallest} pixels")
    return sides[0], sides[1]


def shortest_spelling(image_size: Any) -> Any:
    """Spell a square as one number and another size as a list; return what is no size as it is.

    >>> shortest_spelling([352, 352]), shortest_spelling((352, 480)), shortest_spelling(None)
    (352, [352, 480], None)
    """
    if not isinstance(image_size, list | tuple):
        return image_size
    sides = list(image_size)
    return sides[0] if len(sides) == 2 and sides[0] == sides[1] else sides
