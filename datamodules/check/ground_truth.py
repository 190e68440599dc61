"""What the checks ask of the images that a data set is to be learnt from."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.check.finding import Report


class TruthSeen(NamedTuple):
    """What was seen in a ground truth.

    Attributes:
        size: height and width.
        values: how it is stored, in a word or two.
        object: bool `(H, W)`: what is in front of its surroundings, if it says so.
        class_counts: pixels by class, `(256,)`, if it has classes: void under 255, unknown values
            under 254.
    """

    size: tuple[int, int]
    values: str
    object: NDArray[np.bool_] | None = None
    class_counts: NDArray[np.int64] | None = None


class GroundTruth(ABC):
    """A kind of ground truth; `FoundDataset.truth` chooses the one of a data set.

    Attributes:
        name: of such a file, in messages and on the contact sheet.
    """

    name: str

    @abstractmethod
    def inspect(self, path: Path, report: Report) -> TruthSeen | None:
        """Read a file as a data module does, and more closely; None if it cannot be read."""

    @abstractmethod
    def draw(self, path: Path) -> NDArray[np.uint8]:
        """Return a file for the eye, uint8 `(H, W)` or `(H, W, 3)`.

        Raises:
            DataError: it cannot be read.
        """

    @abstractmethod
    def draw_over(self, rgb: Image.Image, drawn: Image.Image) -> Image.Image:
        """Return what :meth:`draw` gave over its image, both of one size and in RGB."""
