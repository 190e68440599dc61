"""How the images that the page is given are to be read, as its fields say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from datamodules.image_size import height_and_width
from datamodules.reading.depth_maps import DepthReader, InvalidDepth, reader_of
from mutualformer.errors import UserError

NEAR = ("bright", "dark")
INVALID_DEPTH = get_args(InvalidDepth)
# That of the data modules, for a folder that does not say its own.
_IMAGE_SIZE = "352"


@dataclass(frozen=True)
class Reading:
    """Fields of the page, called like the settings of the data modules that they stand for.

    Attributes:
        image_size: that both images are brought to, `352` or `352, 480` (height, width).
        near: which end of a depth map is near, one of `NEAR`.
        invalid_depth: stored values without a reading, one of `INVALID_DEPTH`.
        depth_range: `low, high`, stored values that become 0 and 1; empty for those of each map.
    """

    image_size: str = _IMAGE_SIZE
    near: str = NEAR[0]
    invalid_depth: str = INVALID_DEPTH[0]
    depth_range: str = ""

    @classmethod
    def of_training(cls, data: Mapping[str, Any]) -> "Reading":
        """Return the fields as they were in training, of `training.data` in an export."""
        holes = data.get("invalid_depth")
        return cls(
            _joined(data.get("image_size")) or _IMAGE_SIZE,
            NEAR[1] if data.get("near_dark") else NEAR[0],
            # By data set, perhaps; of which one an image is, is not known here.
            holes if isinstance(holes, str) else INVALID_DEPTH[0],
            _joined(data.get("depth_range")),
        )

    def size(self) -> tuple[int, int]:
        """Return height and width; a `UserError` if the field says none."""
        sides = [side.strip() for side in self.image_size.split(",")]
        if len(sides) > 2 or not all(side.isdecimal() and len(side) <= 4 for side in sides):
            raise UserError(
                f"image_size is {self.image_size!r:.80}, expected a number of pixels, or two, as "
                "352, 480 (height, width)"
            )
        return height_and_width([int(sides[0]), int(sides[-1])])

    def reader(
        self, dataset: str, second_modality: str, channels: int, rotated_bits: bool
    ) -> DepthReader:
        """Return what reads the second images of a data set.

        Raises:
            UserError: a field is none of what it may be.
        """
        if self.near not in NEAR:
            raise UserError(f"near is {self.near!r:.80}, expected one of {', '.join(NEAR)}")
        return reader_of(
            second_modality,
            channels,
            self._range(),
            near_dark_sets=[dataset] if self.near == "dark" else [],
            invalid_depth=self.invalid_depth,
            rotated_bits=rotated_bits,
        )

    def _range(self) -> tuple[float, float] | None:
        if not self.depth_range.strip():
            return None
        try:
            low, high = (float(end) for end in self.depth_range.split(","))
        except ValueError:
            raise UserError(
                f"depth_range is {self.depth_range!r:.80}, expected two stored values, as 0, 5000, "
                "or nothing for those of each image"
            ) from None
        return low, high


def _joined(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
