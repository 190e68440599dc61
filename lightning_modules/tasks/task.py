"""What `evaluate`, tables, `export` and the demo ask of a task, beside its module."""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.runs.score import Score

if TYPE_CHECKING:
    from PIL import Image

    from lightning_modules.base_module import BaseModule
    from lightning_modules.evaluation.map_files import MapSet
    from lightning_modules.metrics.image_records import ImageRecords
    from mutualformer import MutualFormerNetwork


class Task(ABC):
    """A task that is listed in `TASKS`. Imports of seconds belong into its methods.

    Attributes:
        scores: that publications state of it, for tables.
        files: what `evaluate` scores, against what and how, in words.
        example: a command line of `evaluate`, after its name.
        options: flags of `evaluate` that not all tasks have, with what argparse is to know of them.
        heading: of its predictions in the demo.
        has_legend: whether its overlays have one, for which the demo gives them room.
    """

    scores: Sequence[Score]
    files: str
    example: str
    options: Mapping[str, Mapping[str, Any]] = {}
    heading = "Prediction"
    has_legend = False

    @abstractmethod
    def score_files(self, options: Namespace, map_sets: Sequence["MapSet"]) -> "ImageRecords":
        """Score predictions on disk against ground truths.

        Args:
            options: of `evaluate`.
            map_sets: the files, paired.

        Raises:
            UserError: a file cannot be scored, or an option is missing.
        """

    def further_outputs(
        self, options: Namespace, scores: "ImageRecords", results: Mapping[str, Any]
    ) -> dict[Path, bytes]:
        """Return what options of this task ask `evaluate` to write: the files, with their content.

        Args:
            options: of `evaluate`.
            scores: what :meth:`score_files` returned.
            results: the same as written in JSON.
        """
        return {}

    def describe_checkpoint(self, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the `config.json` of an export has to say of a checkpoint of this task.

        Args:
            checkpoint: of any task, by anybody.
        """
        return {}

    def exported_module(
        self, network: "MutualFormerNetwork", config: Mapping[str, Any]
    ) -> "BaseModule | None":
        """Return a module that predicts as that of the training did; None if it was another task's.

        Args:
            network: of an export.
            config: what its `config.json` holds, by anybody.
        """
        return None

    def show(
        self, module: "BaseModule", batch: Mapping[str, Any], outputs: Any, image: "Image.Image"
    ) -> tuple["Image.Image", "Image.Image"]:
        """Return a prediction for the eye, and the same over its input.

        Args:
            module: that made it.
            batch: of one sample.
            outputs: of `predict_step`.
            image: that `predict` writes.
        """
        size = (image.height, image.width)
        return image, module.prediction_overlay(batch, outputs, 0, size) or image
