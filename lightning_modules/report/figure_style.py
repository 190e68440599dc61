"""Colours and shapes of lines and points, the same in all figures."""

from typing import Any

# Okabe and Ito's colours, which differ for colour-blind readers too; shapes differ in grey.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_MARKERS = "osD^vPX"
INK = "#1e2024"
PALE_INK = "#5a5e66"


def style(number: int) -> dict[str, Any]:
    """Return the look of a line or a point by its number.

    Colours come again with other shapes: 49 differ.

    >>> style(0)["color"] == style(7)["color"], style(0)["marker"] == style(7)["marker"]
    (True, False)
    """
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)],
        "markersize": 5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }
