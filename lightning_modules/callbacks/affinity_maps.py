"""Show what chosen tokens attend to, within and across the modalities."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from scipy.ndimage import distance_transform_edt
from torch import nn
from torch.utils.hooks import RemovableHandle

from datamodules.files import write_if_possible
from lightning_modules.base_module import BaseModule
from lightning_modules.report.affinity_figure import AffinitySample, draw_affinities
from lightning_modules.report.second_modality import second_modality
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking import send_picture
from mutualformer.errors import UserError
from mutualformer.layers.attention import CrossDiffusionAttention
from mutualformer.ops import affinity_rows


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
        self._attention: CrossDiffusionAttention | None = None
        self._stride = 0
        self._hooks: list[RemovableHandle] = []
        self._listening = False
        self._heard: dict[str, Any] = {}
        self._samples: dict[str, list[AffinitySample]] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the fusion, and listen to its queries and keys."""
        self._stop()
        self._samples.clear()
        fusions = _cross_diffusion_by_stride(pl_module)
        if not fusions or self.num_samples == 0:
            return
        stride = min(fusions) if self.stride is None else self.stride
        if stride not in fusions:
            raise UserError(
                f"affinity_maps.stride is {stride}, expected a stride with cross-diffusion "
                f"attention: {', '.join(map(str, sorted(fusions)))}"
            )
        if not trainer.is_global_zero:
            return
        self._stride, (block, self._attention) = stride, fusions[stride]
        # Hooks listen, because a pass of its own would hang where the network is sharded.
        self._hooks = [
            block.register_forward_pre_hook(lambda _, inputs: self._hear("grid", inputs[2])),
            self._attention.qkv_rgb.register_forward_hook(
                lambda _, inputs, output: self._hear("rgb", output)
            ),
            self._attention.qkv_depth.register_forward_hook(
                lambda _, inputs, output: self._hear("depth", output)
            ),
        ]

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any
    ) -> None:
        """Listen only where an image of the batch is wanted."""
        self._listening = any(self._wants(dataset) for dataset in batch["dataset"])

    def on_test_batch_end(  # type: ignore[override]
        self, trainer: Trainer, pl_module: BaseModule, outputs: Any, batch: dict[str, Any], *_: Any
    ) -> None:
        """Keep the maps of the first images of each data set."""
        regions = pl_module.regions(batch) if self._heard else None
        for index, dataset in enumerate(batch["dataset"]):
            if regions is not None and self._wants(dataset):
                sample = self._sample(batch, index, regions[index].cpu().numpy())
                self._samples.setdefault(dataset, []).append(sample)
        self._listening = False
        self._heard = {}

    def on_test_end(self, trainer: Trainer, *_: Any) -> None:
        """Write one figure per data set."""
        folder = RunFolder(trainer.default_root_dir).affinity_maps
        for dataset, samples in self._samples.items():
            assert self._attention is not None
            picture = draw_affinities(samples, self._attention, second_modality(trainer))
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
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._listening = False
        self._heard = {}

    def _hear(self, name: str, value: Any) -> None:
        if self._listening:
            self._heard[name] = value

    def _wants(self, dataset: str) -> bool:
        return len(self._samples.get(dataset, [])) < self.num_samples

    def _sample(self, batch: dict[str, Any], index: int, mask: np.ndarray) -> AffinitySample:
        attention = self._attention
        assert attention is not None
        points = choose_points(mask)
        height, width = self._heard["grid"]
        query_rgb, key_rgb, _ = (tensor[index] for tensor in self._heard["rgb"])
        query_depth, key_depth, _ = (tensor[index] for tensor in self._heard["depth"])
        rows = affinity_rows(
            query_rgb,
            key_rgb,
            query_depth,
            key_depth,
            [y // self._stride * width + x // self._stride for y, x in points.values()],
            **asdict(replace(attention.options, dropout_p=0.0, backend="auto")),
        )
        # Heads come first: H K N, to K N, to K h w.
        maps = [row.mean(0).unflatten(-1, (height, width)).cpu().numpy() for row in rows]
        return AffinitySample(
            name=batch["name"][index],
            size=batch["original_size"][index],
            rgb=batch["rgb"][index].permute(1, 2, 0).float().cpu().numpy(),
            depth=batch["depth"][index].permute(1, 2, 0).float().cpu().numpy(),
            mask=mask,
            points=points,
            stride=self._stride,
            maps=np.stack(maps),
        )


def choose_points(mask: np.ndarray) -> dict[str, tuple[int, int]]:
    """Choose pixels to ask about: the innermost of the object, and the farthest from it.

    Args:
        mask: bool, `(H, W)`.

    Returns:
        (row, column) by name; ``object`` is missing where the mask is empty, ``background`` where
        it is full.

    >>> mask = np.zeros((9, 9), bool)
    >>> mask[5:8, 5:8] = True
    >>> choose_points(mask)
    {'object': (6, 6), 'background': (0, 0)}
    """
    points = {}
    if mask.any():
        # Padding makes background of what is beyond the border.
        points["object"] = _argmax(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1])
    if not mask.all():
        points["background"] = _argmax(distance_transform_edt(~mask) if mask.any() else ~mask)
    return points


def _argmax(values: np.ndarray) -> tuple[int, int]:
    row, column = np.unravel_index(values.argmax(), values.shape)
    return int(row), int(column)


def _cross_diffusion_by_stride(
    module: nn.Module,
) -> dict[int, tuple[nn.Module, CrossDiffusionAttention]]:
    """Find the fusion blocks of a `MutualFormerNetwork` that have cross-diffusion attention."""
    blocks = getattr(getattr(module, "network", None), "blocks", {})
    return {
        2 ** int(level): (block, layer)
        for level, block in blocks.items()
        for layer in block.modules()
        if isinstance(layer, CrossDiffusionAttention)
    }
