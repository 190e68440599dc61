"""Show what chosen tokens attend to, within and across the modalities."""

from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from datamodules.files import write_if_possible
from lightning_modules.base_module import BaseModule
from lightning_modules.report.affinity_figure import AffinitySample, choose_points, draw_affinities
from lightning_modules.report.second_modality import second_modality
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import send_picture
from mutualformer.errors import UserError
from mutualformer.network.attention_recorder import AttentionRecorder, attention_by_stride


class AffinityMaps(Callback):
    """Write a figure of affinities per data set in ``test``, for networks that fuse by diffusion.

    The figure is ``affinity_maps/<dataset>.png`` in the run's folder
    (``trainer.default_root_dir``). It shows, for the first images that the first process saw, rows
    of S_r, S_d, S_rd^(T) and S_dr^(T), averaged over heads, of two tokens: the innermost one of the
    object and the one farthest from it. The module's ``regions`` tell the object; a module without
    them, and a network without cross-diffusion attention, leave no file.

    Args:
        num_samples: images per data set; 0 for no figure.
        stride: whose fusion to show, one of the network's ``fusion_strides``; by default the
            smallest, which has the most tokens.

    Raises:
        ValueError: ``num_samples`` is negative, or, when ``test`` starts, nothing is fused at
            ``stride``.
    """

    def __init__(self, num_samples: int = 2, stride: int | None = None) -> None:
        if num_samples < 0:
            raise UserError(f"affinity_maps.num_samples is {num_samples}, expected at least 0")
        self.num_samples = num_samples
        self.stride = stride
        self._recorder: AttentionRecorder | None = None
        self._samples: dict[str, list[AffinitySample]] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the fusion, and listen to its queries and keys."""
        self._stop()
        self._samples.clear()
        network = getattr(pl_module, "network", None)
        if network is None or self.num_samples == 0 or not attention_by_stride(network):
            return
        try:
            recorder = AttentionRecorder(network, self.stride)
        except UserError as error:
            raise UserError(f"affinity_maps.{error}") from error
        recorder.is_listening = False
        if trainer.is_global_zero:
            self._recorder = recorder
        else:
            recorder.stop()

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any
    ) -> None:
        """Listen only where an image of the batch is wanted."""
        if self._recorder is not None:
            self._recorder.is_listening = any(map(self._wants, batch["dataset"]))

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Keep the maps of the first images of each data set."""
        recorder = self._recorder
        if recorder is None or not recorder.has_heard:
            return
        regions = pl_module.regions(batch)
        for index, dataset in enumerate(batch["dataset"]):
            if regions is not None and self._wants(dataset):
                sample = self._sample(recorder, batch, index, regions[index].cpu().numpy())
                self._samples.setdefault(dataset, []).append(sample)
        recorder.is_listening = False
        recorder.forget()

    def on_test_end(self, trainer: Trainer, *_: Any) -> None:
        """Write one figure per data set."""
        folder = RunFolder(trainer.default_root_dir).affinity_maps
        for dataset, samples in self._samples.items():
            assert self._recorder is not None
            picture = draw_affinities(samples, self._recorder.attention, second_modality(trainer))
            path = folder / f"{dataset}.png"
            if write_if_possible(path, picture):
                send_picture(trainer, f"affinity_maps/{dataset}", path)
        if self._samples:
            rank_zero_info(f"Affinity maps: {folder}")
        self._samples.clear()
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop listening."""
        self._stop()

    def _stop(self) -> None:
        if self._recorder is not None:
            self._recorder.stop()
        self._recorder = None

    def _wants(self, dataset: str) -> bool:
        return len(self._samples.get(dataset, [])) < self.num_samples

    def _sample(
        self, recorder: AttentionRecorder, batch: dict[str, Any], index: int, mask: np.ndarray
    ) -> AffinitySample:
        points = choose_points(mask)
        return AffinitySample(
            name=batch["name"][index],
            size=batch["original_size"][index],
            rgb=batch["rgb"][index].permute(1, 2, 0).float().cpu().numpy(),
            depth=batch["depth"][index].permute(1, 2, 0).float().cpu().numpy(),
            mask=mask,
            points=points,
            stride=recorder.stride,
            maps=recorder.affinities(index, [*points.values()]).numpy(),
        )
