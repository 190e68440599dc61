"""What goes wrong with one modality of an image at test time, by name and severity.

Functions of float images `(C, H, W)` in [0, 1] in which 0 is "no reading": black in RGB, a hole in
depth. What is random depends on the name of the image alone, not on order, batch or process, and
not on the severity: a higher one adds to what a lower one did. Formulas: `docs/robustness.md`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mutualformer.errors import UserError

NOISE = 0.5  # standard deviation at severity 1
BLUR = 0.05  # likewise, as a fraction of the image's longer side
SHIFT = 0.1  # length at severity 1, as a fraction of the image's longer side
HOLE_CELLS = 6  # of the grid that the outline of holes is drawn from

MODALITIES = ("rgb", "depth")

# OpenCV's threads do not survive the fork of a loader's worker.
cv2.setNumThreads(0)


def blank(image: Tensor, severity: float = 1.0, rng: np.random.Generator | None = None) -> Tensor:
    """Leave nothing of a share of the images; without `rng`, of this one.

    >>> blank(torch.ones(1, 2, 2)).sum()
    tensor(0.)
    """
    return torch.zeros_like(image) if _is_chosen(severity, rng) else image


def add_noise(image: Tensor, severity: float, rng: np.random.Generator) -> Tensor:
    """Add normally distributed noise to every value."""
    noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
    return (image + NOISE * severity * noise).clamp(0.0, 1.0)


def punch_holes(image: Tensor, severity: float, rng: np.random.Generator) -> Tensor:
    """Leave nothing of a share of the pixels, in patches."""
    height, width = image.shape[-2:]
    cells = rng.standard_normal((HOLE_CELLS, HOLE_CELLS), np.float32)
    patches = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC).ravel()
    is_hole = torch.zeros(height * width, dtype=torch.bool)
    first = np.argsort(patches, kind="stable")[: round(severity * height * width)]
    is_hole[torch.from_numpy(first)] = True
    return image.masked_fill(is_hole.view(height, width), 0.0)


def blur(image: Tensor, severity: float, rng: np.random.Generator) -> Tensor:
    """Smooth with a Gaussian."""
    deviation = BLUR * severity * max(image.shape[-2:])
    channels = [cv2.GaussianBlur(channel.numpy(), (0, 0), deviation) for channel in image]
    return torch.from_numpy(np.stack(channels))


def shift(image: Tensor, severity: float, rng: np.random.Generator) -> Tensor:
    """Move the image in a random direction; there is no reading where it came from."""
    height, width = image.shape[-2:]
    angle, length = 2 * math.pi * rng.random(), SHIFT * severity * max(height, width)
    move = np.array([[1, 0, length * math.cos(angle)], [0, 1, length * math.sin(angle)]])
    channels = [cv2.warpAffine(channel.numpy(), move, (width, height)) for channel in image]
    return torch.from_numpy(np.stack(channels))


def invert(image: Tensor, severity: float, rng: np.random.Generator) -> Tensor:
    """Take near for far in a share of the images; holes stay holes."""
    return torch.where(image > 0, 1 - image, 0.0) if _is_chosen(severity, rng) else image


KINDS: dict[str, Callable[[Tensor, float, np.random.Generator], Tensor]] = {
    "blank": blank,
    "noise": add_noise,
    "holes": punch_holes,
    "blur": blur,
    "shift": shift,
    "polarity": invert,
}


@dataclass(frozen=True)
class Corruption:
    """A corruption of one modality.

    Args:
        modality: `rgb` or `depth`, the second modality whatever it is.
        kind: one of `KINDS`; `polarity` of depth only.
        severity: in (0, 1].

    Raises:
        UserError: it is none of these.

    >>> corruption = Corruption.parse("depth:holes:0.250")
    >>> str(corruption), corruption(torch.ones(1, 4, 4), "image_1").mean()
    ('depth:holes:0.25', tensor(0.7500))
    """

    modality: str
    kind: str
    severity: float

    def __post_init__(self) -> None:
        if self.kind not in kinds_of(self.modality) or not 0 < self.severity <= 1:
            raise _refusal(str(self))

    @classmethod
    def parse(cls, text: str) -> "Corruption":
        """Read `MODALITY:KIND:SEVERITY`."""
        try:
            modality, kind, severity = text.split(":")
            return cls(modality, kind, float(severity))
        except (AttributeError, ValueError) as error:
            raise _refusal(text) from error

    def __str__(self) -> str:
        return f"{self.modality}:{self.kind}:{self.severity:.12g}"

    def __call__(self, image: Tensor, name: str) -> Tensor:
        """Corrupt float32 `(C, H, W)` in [0, 1].

        Args:
            image: of this modality; it is left as it is.
            name: of the image, which decides what is random.
        """
        rng = np.random.default_rng([*f"{self.modality}:{self.kind}:{name}".encode()])
        return KINDS[self.kind](image, self.severity, rng)


def kinds_of(modality: str) -> list[str]:
    """Return the kinds of corruption that a modality has."""
    if modality not in MODALITIES:
        return []
    return [kind for kind in KINDS if kind != "polarity" or modality == "depth"]


def _is_chosen(share: float, rng: np.random.Generator | None) -> bool:
    return rng is None or rng.random() < share


def _refusal(text: object) -> UserError:
    return UserError(
        f"corruption is {text!r}, expected MODALITY:KIND:SEVERITY, such as depth:noise:0.5: "
        f"rgb or depth (whatever the second modality is); {', '.join(kinds_of('rgb'))}, or "
        "polarity of depth; a number in (0, 1]"
    )
