"""Draw a few samples of a run on one page."""

from collections.abc import Mapping
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image
from torch import Tensor

from datamodules.contact_page import PageRow, draw_page, tile_size
from datamodules.files import write_if_possible
from lightning_modules.base_module import BaseModule
from lightning_modules.metrics import quantise
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import send_picture
from mutualformer.errors import UserError


class ContactSheet(Callback):
    """Write a page of the module's ``pictures`` of a few samples: RGB, depth, prediction, mask.

    The page is ``contact_sheet_<stage>.png`` in the run's folder (``trainer.default_root_dir``),
    stage ``train``, ``test`` or ``predict``. In test and predict it shows the first samples that
    the first process saw, shared out evenly over the datasets, at their original aspect ratio. In
    training it shows the first batch of the first process before the first step: what the network
    sees, augmented and at its size, without predictions.

    Args:
        num_samples: rows on the page, at least 1.

    Attributes:
        path: the page; None until it is written.

    Raises:
        ValueError: If ``num_samples`` is below 1.
    """

    def __init__(self, num_samples: int = 12) -> None:
        if num_samples < 1:
            raise UserError(f"expected num_samples of at least 1, got {num_samples}")
        self.num_samples = num_samples
        self.path: Path | None = None
        self._samples: dict[str, list[PageRow]] = {}
        self._train_page_is_written = False

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the samples of an earlier run."""
        self._samples.clear()

    on_train_start = on_predict_start = on_test_start

    def on_train_batch_start(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, batch: dict[str, Any], *_: Any
    ) -> None:
        """Write the page of ``train`` at the first step of this process."""
        if self._train_page_is_written:
            return
        self._train_page_is_written = True
        if trainer.is_global_zero and (pictures := pl_module.pictures(batch)):
            size = next(iter(pictures.values())).shape[-2:]
            for index, dataset in enumerate(batch["dataset"][: self.num_samples]):
                sample = _sample(batch, index, (size[0], size[1]), pictures)
                self._samples.setdefault(dataset, []).append(sample)
            self._write(trainer, "train")

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        """Send the page of ``train``; W&B loses the first scalars if a picture comes before."""
        if trainer.is_global_zero and self.path is not None:
            send_picture(trainer, "contact_sheet_train", self.path)

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Keep thumbnails of the first samples of each dataset."""
        if not trainer.is_global_zero:
            return
        pictures: Mapping[str, Tensor] | None = None
        for index, dataset in enumerate(batch["dataset"]):
            samples = self._samples.setdefault(dataset, [])
            if len(samples) < self.num_samples:
                pictures = pl_module.pictures(batch, outputs) if pictures is None else pictures
                if not pictures:  # a task that shows none
                    return
                height, width = (int(side) for side in batch["original_size"][index])
                samples.append(_sample(batch, index, (height, width), pictures))

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the page of ``test``."""
        self._write(trainer, "test")

    def on_predict_end(self, trainer: Trainer, *_: Any) -> None:
        """Write the page of ``predict``."""
        self._write(trainer, "predict")

    def _write(self, trainer: Trainer, stage: str) -> None:
        if not any(self._samples.values()):
            return
        by_turns = chain.from_iterable(zip_longest(*self._samples.values()))
        chosen = [sample for sample in by_turns if sample is not None][: self.num_samples]
        # The page groups them by dataset again, in the order the datasets were seen.
        chosen = [s for s in chain.from_iterable(self._samples.values()) if s in chosen]
        self.path = RunFolder(trainer.default_root_dir).contact_sheet(stage)
        self._samples.clear()
        if not write_if_possible(self.path, partial(draw_page(chosen).save, format="PNG")):
            self.path = None
            return
        rank_zero_info(f"Contact sheet: {self.path}")
        if stage != "train":
            send_picture(trainer, f"contact_sheet_{stage}", self.path)


def _sample(
    batch: dict[str, Any], index: int, size_shown: tuple[int, int], pictures: Mapping[str, Tensor]
) -> PageRow:
    height, width = size_shown
    size = tile_size(height, width)
    return PageRow(
        caption=f"{batch['dataset'][index]} / {batch['name'][index]}   {width} x {height}",
        tiles={heading: _thumbnail(images[index], size) for heading, images in pictures.items()},
    )


def _thumbnail(image: Tensor, size: tuple[int, int]) -> Image.Image:
    height, width = image.shape[1:]
    channels = [quantise(channel[None].clamp(0, 1), (height, width))[0] for channel in image]
    bands = [Image.fromarray(channel.cpu().numpy()) for channel in channels]
    merged = Image.merge("RGB", bands if len(bands) == 3 else bands * 3)
    # PIL filters when it shrinks, which quantise must not.
    return merged.resize(size, Image.Resampling.BILINEAR)
