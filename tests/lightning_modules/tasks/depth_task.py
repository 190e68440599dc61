"""A third task, to the rooms that serve every task: depth maps of eight bits against such."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lightning_modules.base_module import BaseModule
from lightning_modules.evaluation.map_files import MapSet
from lightning_modules.metrics.image_records import ImageRecords, OfShares
from lightning_modules.runs.score import Score
from lightning_modules.tasks import Task
from mutualformer import MutualFormerNetwork

from ..toy_task import DepthModule

SCORES = (
    Score("depth_error", "AbsErr", higher_is_better=False, main=True),
    Score("worst_depth_error", "Worst", higher_is_better=False),
)


@dataclass(frozen=True, eq=False)
class DepthRecords(ImageRecords):
    """Mean and largest absolute error of every image."""

    protocol_name = "depth"
    protocol = "mean over images of the mean over their pixels"
    averages = ("depth_error", "worst_depth_error")
    truth_counts = ()

    @property
    def descriptions(self) -> tuple[Score, ...]:
        return SCORES

    def scores(self) -> dict[str, Tensor]:
        return {name: value.mean() for name, value in self.values.items()}

    def image_scores(self) -> dict[str, Tensor]:
        return self.values

    def weighted_scores(self) -> OfShares:
        return lambda shares: {name: shares @ value for name, value in self.values.items()}

    @classmethod
    def count_widths(cls, num_classes: int) -> dict[str, int]:
        return {}


class Depth(Task):
    """Of `toy_task.DepthModule`."""

    scores = SCORES
    files = "depth maps of 8 bits against such, by their absolute error"
    example = "--task depth --predictions maps --ground-truth depth"
    options = {
        "--farthest": {"type": int, "default": 255, "help": "values above it do not count"},
        # Saliency has it too: the same option, and both of them take it.
        "--workers": {"type": int, "default": 0, "help": "processes that read"},
    }
    heading = "Depth"

    def score_files(self, options: Namespace, map_sets: Sequence[MapSet]) -> DepthRecords:
        parts = []
        for map_set in map_sets:
            errors = [
                self._errors(prediction, truth, options.farthest)
                for _, prediction, truth in map_set.pairs
            ]
            values = {
                "depth_error": torch.tensor([x.mean() for x in errors], dtype=torch.float64),
                "worst_depth_error": torch.tensor([x.max() for x in errors], dtype=torch.float64),
            }
            names = [stem for stem, _, _ in map_set.pairs]
            parts.append(DepthRecords([map_set.name] * len(names), names, values, {}))
        return DepthRecords.concatenate(parts)

    @staticmethod
    def _errors(prediction: Path, truth: Path, farthest: int) -> np.ndarray:
        one, other = (np.asarray(Image.open(x)).astype(float) / 255 for x in (prediction, truth))
        return np.abs(one - other)[other <= farthest / 255]

    def further_outputs(
        self, options: Namespace, scores: ImageRecords, results: Mapping[str, Any]
    ) -> dict[Path, bytes]:
        return {Path("worst.txt"): scores.names[0].encode()}

    def describe_checkpoint(self, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
        return {"metres": checkpoint["metres"]} if "metres" in checkpoint else {}

    def exported_module(
        self, network: MutualFormerNetwork, config: Mapping[str, Any]
    ) -> BaseModule | None:
        return DepthModule(network) if "metres" in config else None
