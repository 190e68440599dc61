"""A task that is none of ours: depth from colour, pixel by pixel; named by test_toy_task.py."""

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection

from lightning_modules.base_module import BaseModule
from lightning_modules.runs.score import Score


class ColourNetwork(nn.Module):
    """A network of a user: knows nothing of encoders, and gives `num_outputs` channels."""

    def __init__(self, width: int, num_outputs: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, stride, padding=1),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(width, num_outputs, 1),
        )

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        return self.layers(rgb)


class DepthModule(BaseModule):
    """Predict depth in [0, 1] from colour alone."""

    scores = (
        Score("rmse", "RMSE", higher_is_better=False, high=None, main=True),
        Score("absolute_error", "AbsErr", higher_is_better=False, main=True),
    )
    protocol = "over all pixels, at the size of the network's images"

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        logits = self.check_output(self.network(rgb, depth), (len(rgb), 1, *rgb.shape[-2:]))
        return logits.sigmoid()

    def compute_loss(self, batch: Mapping[str, Any]) -> Tensor:
        return nn.functional.mse_loss(self(batch["rgb"], batch["depth"]), batch["depth"])

    def new_metric(self) -> MetricCollection:
        return MetricCollection(
            {"rmse": MeanSquaredError(squared=False), "absolute_error": MeanAbsoluteError()}
        )

    def validation_step(self, batch: Mapping[str, Any], *_: int) -> dict[str, Tensor]:
        output = self.predict_step(batch)
        for depth, target, dataset in zip(
            output["depth"], batch["depth"], batch["dataset"], strict=True
        ):
            self.metric(dataset).update(depth.contiguous(), target.contiguous())
        return output

    test_step = validation_step

    def predict_step(self, batch: Mapping[str, Any], *_: int) -> dict[str, Tensor]:
        return {"depth": self(batch["rgb"], batch["depth"])}

    def pictures(self, batch: Mapping[str, Any], outputs: Any = None) -> dict[str, Tensor]:
        predicted = {} if outputs is None else {"Predicted": outputs["depth"]}
        return super().pictures(batch, outputs) | predicted

    def prediction_image(self, outputs: Any, index: int, size: tuple[int, int]) -> Image.Image:
        pixels = (outputs["depth"][index, 0] * 255).round().to(torch.uint8).cpu().numpy()
        return Image.fromarray(pixels).resize(size[::-1])
