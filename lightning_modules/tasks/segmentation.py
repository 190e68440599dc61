"""Semantic segmentation, to the rooms that serve every task."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightning_modules.cli.parser import integer_of_at_least
from lightning_modules.runs.score import SEGMENTATION_SCORES
from lightning_modules.tasks.task import Task
from mutualformer.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from lightning_modules.base_module import BaseModule
    from lightning_modules.evaluation.map_files import MapSet
    from lightning_modules.metrics.image_records import ImageRecords
    from mutualformer import MutualFormerNetwork


class Segmentation(Task):
    """Index images against label images, whose values a label map explains."""

    scores = SEGMENTATION_SCORES
    files = "index images against label images, by one confusion matrix"
    example = """--task segmentation --label-map nyu40 --prediction-offset 0 \\
                        --predictions maps --ground-truth NYUDepthv2/Label --allow-missing"""
    options = {
        "--label-map": {
            "metavar": "NAME|FILE",
            "help": "what the values of labels mean, such as nyu40 or a YAML file; by default what "
            "the catalogue says of the data set",
        },
        "--prediction-offset": {
            "type": integer_of_at_least(0),
            "metavar": "N",
            "help": "value of class 0 in the predictions (default: as in the labels)",
        },
    }
    heading = "Classes"
    has_legend = True

    def score_files(self, options: Namespace, map_sets: Sequence["MapSet"]) -> "ImageRecords":
        """Score index images by the label map that is given, or that the catalogue names."""
        from datamodules.catalogue import find_entry
        from datamodules.label_map import named_label_maps, read_label_map
        from lightning_modules.evaluation.score_labels import score_labels

        entries = [find_entry(map_set.name) for map_set in map_sets]
        known = {entry.labels if entry else None for entry in entries}
        given = options.label_map or (known.pop() if len(known) == 1 else None)
        if given is None:
            raise UserError(
                "--label-map is not given, and the catalogue does not say what the values of "
                f"{', '.join(x.name for x in map_sets)} mean, expected one of "
                f"{', '.join(named_label_maps())}, or a YAML file with classes, void and offset"
            )
        return score_labels(map_sets, read_label_map(given), options.prediction_offset)

    def describe_checkpoint(self, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the classes are."""
        from datamodules.label_map import read_label_map

        found = checkpoint.get("label_map")
        return {"label_map": read_label_map(found).as_mapping()} if isinstance(found, dict) else {}

    def exported_module(
        self, network: "MutualFormerNetwork", config: Mapping[str, Any]
    ) -> "BaseModule | None":
        """Return a module for a network of several channels, with its classes and views."""
        from datamodules.label_map import read_label_map
        from lightning_modules.metrics.confusion_scores import check_classes
        from lightning_modules.runs.exported_network import PREDICTION_SETTINGS, mapping_in
        from lightning_modules.segmentation_module import SegmentationModule

        if network.num_classes == 1:
            return None
        given = mapping_in(mapping_in(config, "training"), "model")
        views = {name: given[name] for name in PREDICTION_SETTINGS if name in given}
        module = SegmentationModule(network, **views)
        if "label_map" in config:
            module.label_map = read_label_map(mapping_in(config, "label_map"))
        names = {"network": "the network", "data": "label_map"}
        check_classes(module.label_map.classes, network.num_classes, names)
        return module

    def show(
        self, module: "BaseModule", batch: Mapping[str, Any], outputs: Any, image: "Image.Image"
    ) -> tuple["Image.Image", "Image.Image"]:
        """Return the classes in colour, and these over the image with a legend."""
        from PIL import Image

        from lightning_modules.segmentation_module import SegmentationModule, classes_at

        assert isinstance(module, SegmentationModule)
        classes = classes_at(outputs["probabilities"][0], (image.height, image.width))
        coloured = Image.fromarray(module.label_map.palette[classes.numpy()])
        return coloured, super().show(module, batch, outputs, image)[1]
