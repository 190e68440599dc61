"""What the values of a depth map mean: which are holes, which end is near, what the range is."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.catalogue import is_near_dark
from datamodules.errors import DataError
from datamodules.reading.decoded_image_cache import DecodedImageCache, read_through
from datamodules.reading.depth_outliers import Outliers, find_outliers
from datamodules.reading.image_files import read_fourth_channel, read_values
from mutualformer.errors import UserError

InvalidDepth = Literal["auto", "none", "zero", "max", "both"]


class DepthReader:
    """Read depth maps as the network gets them: near = 1, far = 0, holes = 0.

    A hole is a pixel for which the sensor has no reading. It becomes 0, as far as can be, whichever
    end of the file is near, as in the synthetic scenes; it does not count in the range of the map.

    Which stored values are holes cannot be seen in the file. Public RGB-D saliency sets of 8 bits
    were filled and stretched to 0 … 255 by those who made them: 0 and 255 are the nearest and the
    farthest depth there (in all eight maps of DES and SSD that we have, the zeros join the next
    level without a step), and taking them for holes would send the nearest pixels of a near-dark
    set to the far end. Maps of 16 bits and floats come from sensors, with 0 for "no reading".

    Args:
        near_dark_sets: names of the data sets whose maps store near as dark; they are inverted. By
            default those of which the catalogue says so.
        invalid_depth: which stored values are holes: `"none"`, `"zero"`, `"max"` (the largest that
            the type of the file holds, 255 or 65535), `"both"`, or `"auto"`: none in files of 8
            bits, zero in all others. Or a mapping from names of data sets to one of these, `"auto"`
            for those not in it. Values that are not finite are holes unless it is `"none"`.
        depth_range: the stored values that become the two ends, `(low, high)` in the unit of the
            file; values beyond are clipped. By default the smallest and the largest valid value
            of each map.
        rotated_bits: whether 16 bits are rotated left by 3, as in SUN RGB-D's own files.

    Raises:
        ValueError: an argument is none of these.

    >>> read_depth = DepthReader(near_dark_sets=["SSD"], invalid_depth={"Kinect": "zero"})
    """

    def __init__(
        self,
        near_dark_sets: Collection[str] | None = None,
        invalid_depth: InvalidDepth | Mapping[str, InvalidDepth] = "auto",
        depth_range: tuple[float, float] | None = None,
        rotated_bits: bool = False,
    ) -> None:
        given = [invalid_depth] if isinstance(invalid_depth, str) else invalid_depth.values()
        for choice in given:
            if choice not in get_args(InvalidDepth):
                raise UserError(
                    f"invalid_depth is {choice!r}, expected one of "
                    f"{', '.join(get_args(InvalidDepth))}, or one of these per data set"
                )
        check_range(depth_range)
        self.near_dark_sets = None if near_dark_sets is None else frozenset(near_dark_sets)
        self.invalid_depth = invalid_depth
        self.depth_range = depth_range
        self.rotated_bits = rotated_bits
        self.channels = 1

    def __call__(
        self,
        path: Path,
        dataset: str,
        cache: DecodedImageCache | None = None,
        in_fourth_channel: bool = False,
    ) -> NDArray:
        """Read the map of a sample of a data set, through a cache if there is one.

        Args:
            path: the file.
            dataset: name of the data set.
            cache: keeps decoded files.
            in_fourth_channel: whether the file holds RGB too.

        Returns:
            float32 `(1, H, W)` in [0, 1]; all zeros if no two different depths are left.

        Raises:
            DataError: the file cannot be read, is coloured, or holds values that are not finite
                where `invalid_depth` is `"none"`.
        """
        return self.scale(self.read_stored(path, dataset, cache, in_fourth_channel), dataset)

    def read_stored(
        self,
        path: Path,
        dataset: str,
        cache: DecodedImageCache | None = None,
        in_fourth_channel: bool = False,
    ) -> NDArray:
        """Read the stored values of a map, `(channels, H, W)`; arguments and errors as above."""
        read = read_fourth_channel if in_fourth_channel else read_values
        must_be_finite = self._choice(dataset) == "none"
        values = read_through(cache, read, path, self.channels, must_be_finite)
        return rotate_back(path, values) if self.rotated_bits else values

    def scale(self, values: NDArray, dataset: str) -> NDArray:
        """Return what a map of a data set means, of its stored values; as :meth:`__call__`."""
        choice = self._choice(dataset)
        near_dark = self.is_near_dark(dataset)
        if values.dtype != np.uint8 or len(values) > 1 or choice not in ("auto", "none"):
            return self._normalise(values, choice, near_dark)
        # Where all pixels are valid, only the ends of the range matter, and every pixel of a level
        # becomes the same: a tenth of the time.
        levels = np.arange(256).clip(values.min(), values.max()).astype(np.uint8)
        table = self._normalise(levels, choice, near_dark)
        return cv2.LUT(values[0], table)[None]

    def _normalise(self, values: NDArray, choice: InvalidDepth, near_dark: bool) -> NDArray:
        valid = _valid_pixels(values, choice)
        scaled = scale_to_unit_range(values, valid, self.depth_range)
        if near_dark and scaled.any():
            scaled = 1.0 - scaled
        return np.where(valid, scaled, 0.0).astype(np.float32)

    def find_outliers(self, values: NDArray, dataset: str) -> Outliers | None:
        """Return which stored values of a map spoil its range, if any do."""
        if self.depth_range is not None:
            return None
        return find_outliers(values, _valid_pixels(values, self._choice(dataset)))

    def _choice(self, dataset: str) -> InvalidDepth:
        choice = self.invalid_depth
        return choice if isinstance(choice, str) else choice.get(dataset, "auto")

    def is_near_dark(self, dataset: str) -> bool:
        """Return whether the maps of a data set store near as dark."""
        if self.near_dark_sets is None:
            return is_near_dark(dataset)
        return dataset in self.near_dark_sets


class ImageReader(DepthReader):
    """Read images of a second modality without polarity and holes, as thermal or near-infrared.

    They are float32 `(channels, H, W)` in [0, 1]; all zeros if the image is constant.

    Args:
        channels: 1 or 3 channels to return; a file of one channel is repeated.
        value_range: the stored values that become 0 and 1; by default the smallest and the largest
            value of each image, over all channels.
    """

    def __init__(self, channels: int = 1, value_range: tuple[float, float] | None = None) -> None:
        super().__init__((), "none", value_range)
        self.channels = channels


def reader_of(
    second_modality: str,
    channels: int = 1,
    value_range: tuple[float, float] | None = None,
    **of_depth: Any,
) -> DepthReader:
    """Return what reads a second modality.

    Args:
        second_modality: `depth`, `thermal`, …
        channels: of it, for what is not depth.
        value_range: the stored values that become 0 and 1, `depth_range` in settings.
        of_depth: further arguments of `DepthReader`, which nothing else has.

    Raises:
        ValueError: an argument is outside its range.

    >>> reader_of("hha", 3).depth_range
    (0.0, 255.0)
    """
    if second_modality == "depth":
        return DepthReader(depth_range=value_range, **of_depth)
    stored = (0.0, 255.0) if second_modality == "hha" else None
    return ImageReader(channels, value_range or stored)


def rotate_back(path: Path, values: NDArray) -> NDArray[np.uint16]:
    """Undo the rotation by 3 bits of SUN RGB-D's depth files.

    Raises:
        DataError: the values are of another type.

    >>> rotate_back(Path("0.png"), np.array([2000 << 3, 1], np.uint16)).tolist()
    [2000, 8192]
    """
    if values.dtype != np.uint16:
        raise DataError(
            f"{path}: values of type {values.dtype}, expected 16 bits to rotate: leave out "
            "--data.rotated_bits"
        )
    return ((values >> 3) | (values << 13)).astype(np.uint16)


def check_range(value_range: tuple[float, float] | None) -> None:
    """Raise a `ValueError` for a range that is empty."""
    if value_range is not None and not value_range[0] < value_range[1]:
        raise UserError(
            f"depth_range is {list(value_range)}, expected [LOW, HIGH] with LOW below HIGH; for "
            "depth with near stored dark, see near_dark_sets"
        )


def scale_to_unit_range(
    values: NDArray, valid: NDArray[np.bool_], value_range: tuple[float, float] | None
) -> NDArray[np.float64]:
    """Scale to [0, 1] by a range, or by the smallest and largest valid value.

    Returns:
        float64 of the shape of `values`, meaningless where not valid; all zeros if the valid values
        are all the same or none.

    >>> scale_to_unit_range(np.array([0, 2, 4]), np.array([False, True, True]), None)[1:]
    array([0., 1.])
    """
    kept = values[valid]
    if not kept.size or kept.min() == kept.max():
        return np.zeros(values.shape)
    low, high = value_range or (float(kept.min()), float(kept.max()))
    finite = np.where(valid, values, low)
    # In 64 bits: 16 bits of depth are kept when the ends are subtracted.
    return np.clip((finite.astype(np.float64) - low) / (high - low), 0.0, 1.0)


def _valid_pixels(values: NDArray, choice: InvalidDepth) -> NDArray[np.bool_]:
    valid = np.isfinite(values)
    if choice == "auto":
        choice = "none" if values.dtype == np.uint8 else "zero"
    if choice in ("zero", "both"):
        valid &= values != 0
    if choice in ("max", "both") and values.dtype.kind != "f":
        valid &= values != np.iinfo(values.dtype).max
    return valid
