"""A network that `mutualformer export` wrote, applied to two files as `predict` applies it."""

import io
import re
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from datamodules.augmentation.transforms import EvalTransform
from datamodules.batch import Batch, collate, to_floats
from datamodules.reading.image_files import holds_fourth_channel
from datamodules.reading.open_image import read_size
from datamodules.reading.pair_files import PairedFiles
from datamodules.reading.pairs_to_predict import pairs_to_predict
from datamodules.rgbd_saliency_dataset import RGBDSaliencyDataset
from lightning_modules.base_module import BaseModule
from lightning_modules.demo.reading import Reading
from lightning_modules.report.second_modality import shown_as
from lightning_modules.runs.exported_network import mapping_in
from lightning_modules.tasks import TASKS, Task
from mutualformer import MutualFormerNetwork, __version__
from mutualformer.errors import UserError
from mutualformer.network.attention_recorder import AttentionRecorder, attention_by_stride
from mutualformer.network.pretrained import CONFIG_NAME, read_config

# Of the smaller ratio of height to width to the larger: sizes are rounded when images are resized.
_SAME_PROPORTIONS = 0.98

Upload = tuple[str, bytes]
"""Name and content of a file."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network says of a pair.

    Attributes:
        name: of the pair.
        size: height and width of the first image.
        file: what `predict` writes, a `.png`.
        shown: the same for the eye.
        overlay: over the image; a legend may be below it.
        batch: what the network saw.
        remarks: warnings of what was read.
    """

    name: str
    size: tuple[int, int]
    file: bytes
    shown: Image.Image
    overlay: Image.Image
    batch: Batch
    remarks: tuple[str, ...]


class ExportedModel:
    """Load an export; several threads may use it.

    Args:
        folder: that `mutualformer export` or `save_pretrained` wrote.

    Attributes:
        modalities: which of `rgb` and `depth` the network reads.
        second_modality: what the second one is called.
        task, module: what predicts, and what it is for.
        reading: how images were read in training.
        recorder: of the affinities; None where the fusion has none.

    Raises:
        UserError: it is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        network = MutualFormerNetwork.from_pretrained(folder)
        config = read_config(folder / CONFIG_NAME, MutualFormerNetwork.__name__, __version__)
        data = mapping_in(mapping_in(config, "training"), "data")
        self.name = str(folder)
        self.network = network
        self.modalities = network.modalities
        self.second_modality = str(data.get("second_modality", "depth"))
        self.reading = Reading.of_training(data)
        self.rotated_bits = data.get("rotated_bits") is True
        try:
            self.task, self.module = _find_task(network, config)
        except Exception as error:  # a value of a wrong type fails wherever it is used first
            raise UserError(f"{folder / CONFIG_NAME}: {error}") from error
        self.module.eval()
        self.recorder = AttentionRecorder(network) if attention_by_stride(network) else None
        self._lock = threading.RLock()
        self._latest: tuple[Any, Prediction] | None = None
        self._heard: Prediction | None = None

    @property
    def fusion(self) -> str:
        """Name of the network's fusion."""
        return type(next(iter(self.network.blocks.values()))).__name__

    @property
    def num_parameters(self) -> int:
        """How many there are."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def second_name(self) -> str:
        """What the second modality is called in text."""
        return shown_as(self.second_modality)

    def predict(self, uploads: Mapping[str, Upload], reading: Reading) -> Prediction:
        """Predict a pair.

        Args:
            uploads: files under `rgb` and `depth`.
            reading: how they are to be read.

        Raises:
            UserError: one is missing, cannot be read, or does not fit the other.
        """
        key = (tuple(sorted(uploads.items())), reading)
        with self._lock, torch.inference_mode():
            if self._latest is None or self._latest[0] != key:
                self._latest = (key, self._predict(uploads, reading))
            return self._latest[1]

    def affinities(
        self, uploads: Mapping[str, Upload], reading: Reading, where: tuple[float, float]
    ) -> tuple[torch.Tensor, tuple[int, int]]:
        """Return what the token at a place of a pair attends to.

        Args:
            uploads: as in :meth:`predict`.
            reading: likewise.
            where: the place, as fractions of height and width.

        Returns:
            `(4, h, w)`, see :meth:`AttentionRecorder.affinities`, and row and column of the token.
        """
        assert self.recorder is not None
        if not all(0 <= x <= 1 for x in where):
            raise UserError(f"the place is {where}, expected two numbers from 0 to 1")
        with self._lock, torch.inference_mode():
            prediction = self.predict(uploads, reading)
            batch, stride = prediction.batch, self.recorder.stride
            if self._heard is not prediction:
                self._heard = None
                # Once, and plainly: a prediction may be an average over several views.
                self.module(batch["rgb"], batch["depth"])
                self._heard = prediction
            sides = batch["rgb"].shape[-2:]
            row, column = (min(int(x * n), n - 1) for x, n in zip(where, sides, strict=True))
            maps = self.recorder.affinities(0, [(row, column)])[:, 0]
        return maps, (row // stride, column // stride)

    def _predict(self, uploads: Mapping[str, Upload], reading: Reading) -> Prediction:
        with _written(uploads) as (files, plainly), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            sample, remarks = self._pair(files)
            reader = reading.reader(
                *(sample.dataset, self.second_modality),
                *(self.network.depth_channels, self.rotated_bits),
            )
            transform = EvalTransform(reading.size())
            # Of one size, or of the same proportions: see _pair.
            dataset = RGBDSaliencyDataset([sample], transform, reader, resize_depth=True)
            batch = to_floats(collate([dataset[0]]))
            remarks += [plainly(str(warning.message)) for warning in caught]
        size = batch["original_size"][0]
        outputs = self.module.predict_step(batch, 0)
        image = self.module.prediction_image(outputs, 0, size)
        assert image is not None
        shown, overlay = self.task.show(self.module, batch, outputs, image)
        return Prediction(sample.name, size, png(image), shown, overlay, batch, tuple(remarks))

    def _pair(self, files: Mapping[str, Path]) -> tuple[PairedFiles, list[str]]:
        names = {"rgb": "RGB", "depth": self.second_name}
        for name in self.modalities:
            in_rgb = name == "depth" and "rgb" in files and holds_fourth_channel(files["rgb"])
            if name not in files and not in_rgb:
                raise UserError(f"no {names[name]} image is given, expected one: choose a file")
        given = {name: str(files[name]) for name in files}
        (sample,) = pairs_to_predict(None, given, self.modalities, lambda _: [])
        if sample.rgb is None or sample.depth is None:
            return sample, []
        rgb, depth = read_size(sample.rgb), read_size(sample.depth)
        if rgb == depth:
            return sample, []
        sizes = (
            f"the {self.second_name} image has {depth[0]} × {depth[1]} pixels (height × width) and "
            f"the RGB image {rgb[0]} × {rgb[1]}"
        )
        ratios = sorted((rgb[0] / rgb[1], depth[0] / depth[1]))
        if ratios[0] < _SAME_PROPORTIONS * ratios[1]:
            raise UserError(
                f"{sizes}, expected the same proportions: give the two images of one pair, aligned "
                "pixel by pixel"
            )
        return sample, [f"{sizes}: it was resized to that"]


def _find_task(network: MutualFormerNetwork, config: Mapping[str, Any]) -> tuple[Task, BaseModule]:
    """Return the task of an export, and a module that predicts as its training's did."""
    # The first ones take what nothing but its channels tells of, so later ones are asked before.
    for task in reversed(TASKS.values()):
        if (module := task.exported_module(network, config)) is not None:
            return task, module
    raise UserError(f"it is of none of the tasks {', '.join(TASKS)}")


@contextmanager
def _written(
    uploads: Mapping[str, Upload],
) -> Iterator[tuple[dict[str, Path], Callable[[str], str]]]:
    """Write uploads to files for the readers; yield them, and what takes their folder out of text.

    Errors in the body of the `with` name the uploads alone, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for role, (name, content) in uploads.items():
            # Of any system, with anything in it.
            plain = re.sub(r"[^\w. ()+-]", "_", re.split(r"[\\/]", name)[-1])[-80:].lstrip(". ")
            files[role] = Path(folder) / role / (plain or "image")
            files[role].parent.mkdir()
            files[role].write_bytes(content)

        def plainly(text: str) -> str:
            return text.replace(f"{folder}/", "")

        try:
            yield files, plainly
        except UserError as error:
            raise UserError(plainly(str(error))) from error


def to_image(pixels: torch.Tensor) -> Image.Image:
    """Return `(1 or 3, H, W)` in [0, 1] as a picture."""
    levels = (pixels.expand(3, -1, -1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).numpy())


def png(image: Image.Image) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()
