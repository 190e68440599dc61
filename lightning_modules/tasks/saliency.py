"""Salient object detection, to the rooms that serve every task."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.cli.parser import integer_of_at_least, path_ending_in
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.tasks.task import Task

if TYPE_CHECKING:
    from PIL import Image

    from lightning_modules.base_module import BaseModule
    from lightning_modules.evaluation.map_files import MapSet
    from lightning_modules.metrics.image_records import ImageRecords
    from mutualformer import MutualFormerNetwork


class Saliency(Task):
    """Maps of one channel against masks."""

    scores = SALIENCY_SCORES
    files = "saliency maps against masks, as PySODMetrics 1.6 does"
    example = """--predictions maps/SIP --ground-truth data/SIP/GT \\
                        --predictions maps/LFSD --ground-truth data/LFSD/GT --output scores.md"""
    options = {
        "--curves": {
            "type": path_ending_in(".png", ".svg"),
            "metavar": "FILE",
            "help": "draw precision-recall and F-measure curves: .png .svg",
        },
        "--device": {
            "default": "cpu",
            "help": "where pixels are counted (default: %(default)s)",
        },
        "--workers": {
            "type": integer_of_at_least(0),
            "default": 0,
            "metavar": "N",
            "help": "processes that read and score beside this one (default: %(default)s)",
        },
    }
    heading = "Saliency"

    def score_files(self, options: Namespace, map_sets: Sequence["MapSet"]) -> "ImageRecords":
        """Score maps, several at a time."""
        from lightning_modules.evaluation.score_maps import find_device, score_maps

        return score_maps(map_sets, find_device(options.device), options.workers)

    def further_outputs(
        self, options: Namespace, scores: "ImageRecords", results: Mapping[str, Any]
    ) -> dict[Path, bytes]:
        """Return the figure with curves, if it is wanted."""
        if not options.curves:
            return {}
        from lightning_modules.metrics import PerImageScores
        from lightning_modules.report.curves_figure import draw_curves

        assert isinstance(scores, PerImageScores)
        return {options.curves: draw_curves(scores, results, options.curves.suffix)}

    def exported_module(
        self, network: "MutualFormerNetwork", config: Mapping[str, Any]
    ) -> "BaseModule | None":
        """Return a module for a network of one channel."""
        from lightning_modules.saliency_module import SaliencyModule

        return SaliencyModule(network) if network.num_classes == 1 else None

    def show(
        self, module: "BaseModule", batch: Mapping[str, Any], outputs: Any, image: "Image.Image"
    ) -> tuple["Image.Image", "Image.Image"]:
        """Return the map, and the map over the image: `predict` writes none."""
        from lightning_modules.report.saliency_overlay import draw_saliency_overlay

        return image, draw_saliency_overlay(batch[module.modalities[0]][0], image)
