"""Geometry of semantic segmentation: a random scale, a crop, a mirror; labels by nearest alone.

Scales from 0.5 to 1.75 and mirroring are those of the recipe in circulation (CMX, DFormer, Sigma);
the changes of colours and of the second modality are assumptions, as in `transforms`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules.augmentation.random_view import RandomView, render
from datamodules.augmentation.transforms import channels_first, channels_last, jitter_colours
from datamodules.image_size import ImageSize, height_and_width
from mutualformer.errors import UserError
from mutualformer.ignored_label import IGNORED

DEFAULT_SCALES = (0.5, 1.75)


class ScaleAndCrop:
    """Scale, crop and mirror image, second modality and label jointly; change values separately.

    At scale 1, the whole image fills the output. Larger ones show a part of it, at a random place;
    smaller ones show it within black, far and void.

    Draws from torch's global generator, which `SeededDataset` seeds anew for every sample.

    Args:
        image_size: of the output in pixels: the side of a square, or `(height, width)`.
        change_depth: changes the values of the second modality, after geometry.
        scales: smallest and largest scale, evenly drawn.

    Raises:
        UserError: the scales are no range above 0.
    """

    def __init__(
        self,
        image_size: ImageSize,
        change_depth: Callable[[Tensor], Tensor],
        scales: Sequence[float] = DEFAULT_SCALES,
    ) -> None:
        if len(scales) != 2 or not 0 < scales[0] <= scales[1] <= 10:
            raise UserError(
                f"scales is {list(scales)}, expected [SMALLEST, LARGEST] above 0 and up to 10"
            )
        self.image_size = height_and_width(image_size, smallest=1)
        self.change_depth = change_depth
        self.scales = (float(scales[0]), float(scales[1]))

    def __call__(self, rgb: Tensor, depth: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transform uint8 `(3, H, W)`, float32 `(C, H, W)` in [0, 1] and uint8 `(H, W)`.

        Returns:
            Tensors of the same types at the output size.
        """
        view = self._draw((rgb.shape[-2], rgb.shape[-1]))
        size = self.image_size
        rgb = channels_first(jitter_colours(render(channels_last(rgb), view, size)))
        depth = self.change_depth(channels_first(render(channels_last(depth), view, size)))
        seen = render_label(label.numpy(), view, size)
        return rgb, depth.clamp(0.0, 1.0), torch.from_numpy(seen)

    def _draw(self, size: tuple[int, int]) -> RandomView:
        low, high = self.scales
        scale = low + (high - low) * float(torch.rand(()))
        height, width = (max(1, round(side / scale)) for side in size)
        top, left = (
            int(torch.randint(min(0, room), max(0, room) + 1, ()))
            for room in (size[0] - height, size[1] - width)
        )
        return RandomView(top, left, height, width, bool(torch.rand(()) < 0.5), 0.0)


def render_label(label: NDArray, view: RandomView, size: tuple[int, int]) -> NDArray:
    """Return what a view shows of a label, each pixel the nearest one; void beyond the image.

    >>> render_label(np.array([[1, 2]], np.uint8), RandomView(0, 1, 1, 2, False, 0.0), (1, 2))
    array([[  2, 255]], dtype=uint8)
    """
    places, inside = [], []
    for start, length, count, there in zip(
        (view.top, view.left), (view.height, view.width), size, label.shape, strict=True
    ):
        place = np.floor(start + (np.arange(count) + 0.5) * length / count).astype(int)
        places.append(place.clip(0, there - 1))
        inside.append((place >= 0) & (place < there))
    seen = label[np.ix_(*places)].copy()
    seen[~np.logical_and.outer(*inside)] = IGNORED
    return np.ascontiguousarray(seen[:, ::-1]) if view.mirrored else seen


def resize_label(label: NDArray, size: tuple[int, int]) -> NDArray:
    """Resize a label by nearest.

    >>> resize_label(np.array([[1, 2]], np.uint8), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    height, width = label.shape
    return render_label(label, RandomView(0, 0, height, width, False, 0.0), size)
