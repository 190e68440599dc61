"""What the saliency metrics have in common: sums over images, never the images."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_modules.metrics.pair_histograms import PairHistograms
from lightning_modules.metrics.per_image_scores import rounded


class SaliencyMetric(Metric):
    """Average values over images, each computed from the image's histograms.

    States are one sum per value and the number of images, reduced over processes by addition.
    They are float64 (float32 on MPS, which has no float64) and moving the module to half
    precision leaves them so. Values are rounded to multiples of 2⁻³⁶ before they are added: sums of
    up to 2¹⁷ = 131 072 images are then exact, so neither the order of the images nor the number of
    processes changes a single bit of a score (on MPS, they change the last bits of float32).
    """

    full_state_update = False
    is_differentiable = False

    num_images: Tensor
    # Name and shape of what per_image() returns, without the batch dimension.
    value_shapes: dict[str, tuple[int, ...]]

    def __init__(self, **kwargs: Any) -> None:
        """Create the states; ``kwargs`` go to ``torchmetrics.Metric``."""
        super().__init__(**kwargs)
        self.add_state("num_images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        for name, shape in self.value_shapes.items():
            initial = torch.zeros(shape, dtype=torch.float64)
            self.add_state(f"sum_{name}", initial, dist_reduce_fx="sum")

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return each value of ``value_shapes`` for B pairs, with a leading dimension of B."""
        raise NotImplementedError

    def update(self, predictions: Sequence[Tensor], ground_truths: Sequence[Tensor]) -> None:
        """Add pairs.

        Args:
            predictions: uint8 maps ``(1, H, W)`` or ``(H, W)`` from ``quantise``.
            ground_truths: bool maps of the same sizes.

        Raises:
            ValueError: the lists are empty or differ in length, or a pair differs in size.
            TypeError: a prediction is not uint8 or a ground truth is not bool.
        """
        values = self.per_image(PairHistograms.from_pairs(predictions, ground_truths))
        self.num_images += len(predictions)
        for name, value in values.items():
            total = getattr(self, f"sum_{name}")
            total += rounded(value).sum(dim=0).to(total)

    def means(self) -> dict[str, Tensor]:
        """Return each value averaged over the images seen.

        Raises:
            RuntimeError: no image was seen: there is no score to give.
        """
        if self.num_images == 0:
            raise RuntimeError(
                f"{type(self).__name__} has seen no image, so there is no score to give; "
                "expected update() before compute()"
            )
        return {name: getattr(self, f"sum_{name}") / self.num_images for name in self.value_shapes}

    def _apply(
        self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = ""
    ) -> torch.nn.Module:
        # Lightning casts a module with .to(dtype), which torchmetrics does not recognise as a
        # cast; a sum kept in bfloat16 would stop growing after a few hundred images.
        device = fn(torch.zeros(1, device=self.device)).device
        dtype = sum_dtype(device)
        return super()._apply(
            lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else None),
            exclude_state,
        )


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the type sums are kept in on a device: float64, or float32 where that is missing.

    >>> sum_dtype(torch.device("cpu"))
    torch.float64
    """
    return torch.float32 if device.type == "mps" else torch.float64
