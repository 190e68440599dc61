"""A network and a fusion as a user writes them, outside the packages."""

import torch
from torch import Tensor, nn

from mutualformer.fusions import Fusion


class TwoLayers(nn.Module):
    """Map RGB and depth to logits by two convolutions; know nothing of this project."""

    def __init__(self, width: int, out_channels: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, width, 3, stride, padding=1)
        self.second = nn.Conv2d(width, out_channels, 1)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return self.second(self.first(torch.cat((rgb, depth), dim=1)).relu())


class WeightedSum(Fusion):
    """Add the two streams with weights that are learnt."""

    def __init__(self, dim: int, *, start: float, slope: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2, dim), start))
        self.slope = slope

    def fuse(self, tokens_rgb: Tensor, tokens_depth: Tensor, spatial_size: object) -> Tensor:
        return self.slope * (self.weight[0] * tokens_rgb + self.weight[1] * tokens_depth)


class AnyOptions(TwoLayers):
    """Take options that no signature names."""

    def __init__(self, **options: object) -> None:
        self.options = options
        super().__init__(**{"width": 2, **{x: options[x] for x in options if x == "width"}})
