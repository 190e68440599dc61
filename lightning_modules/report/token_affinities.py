"""What tokens of a probe attend to across the modalities, step by step, beside their regions."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from datamodules.token_probe_data_module import TokenProbeDataset
from datamodules.token_probes import NOT_ASKED, ProbeScene, ProbeSettings, generate_probe
from lightning_modules.base_module import BaseModule, class_path
from lightning_modules.report.affinity_steps_figure import AffinitySteps
from mutualformer.errors import UserError
from mutualformer.layers.attention import CrossDiffusionAttention
from mutualformer.network.attention_recorder import AttentionRecorder
from mutualformer.network.token_network import TokenNetwork
from mutualformer.ops.cross_diffusion.options import NumIterations

_HOLE = 0.0


class TokenLook:
    """Look at what two tokens of a probe attend to: one that asks for a label, and one that has it.

    Args:
        network: whose cross-diffusion attention it is.
        stride: 1, or None.
        steps: T from 0 to this, and the limit.
        number: of the scene, from 1; others are passed over.

    Raises:
        UserError: the fusion has no cross-diffusion attention.
    """

    def __init__(self, network: TokenNetwork, stride: int | None, steps: int, number: int) -> None:
        mixing = getattr(network.fusion, "mixing", None)
        if not isinstance(getattr(mixing, "attention", None), CrossDiffusionAttention):
            raise UserError(
                f"the fusion is {class_path(network.fusion)}, which has no cross-diffusion "
                "attention, expected mutualformer, variant paper"
            )
        # A token is a pixel.
        self._recorder = AttentionRecorder(SimpleNamespace(blocks={"0": mixing}), stride)  # type: ignore[arg-type]
        self._steps: list[NumIterations] = [*range(steps + 1), "inf"]
        self._before = number

    def __call__(
        self, module: BaseModule, batch: Mapping[str, Any], outputs: Any, index: int
    ) -> AffinitySteps | None:
        """Return what is seen of the scene that is wanted; see `look_at_first`."""
        self._before -= 1
        if self._before:
            return None
        dataset = module.trainer.datamodule.test_datasets[0]  # type: ignore[attr-defined]
        if not isinstance(dataset, TokenProbeDataset):
            raise UserError(
                f"the data are {class_path(dataset)}, whose regions nobody knows, expected those "
                "of TokenProbeDataModule"
            )
        name = batch["name"][index]
        arguments = (dataset.seed, dataset.split, int(name.rpartition("_")[2]))
        scene = generate_probe(dataset.settings, *arguments)
        side = dataset.settings.grid_size
        regions = _regions(dataset.settings, scene, arguments)
        tokens = [x.reshape(side, side, -1) for x in (scene.rgb, scene.depth)]
        rgb, depth = (
            np.where(x.any(-1, keepdims=True), _colours(dataset.settings)[own], _HOLE)
            for x, own in zip(tokens, regions, strict=True)
        )
        labelled = tokens[1][..., dataset.settings.feature_dim :].any(-1)
        points = {
            heading: (int(where[0][0]), int(where[0][1]))
            for heading, where in (
                ("asking", np.argwhere(scene.target.reshape(side, side) != NOT_ASKED)),
                ("labelled", np.argwhere(labelled)),
            )
            if len(where)
        }
        recorder, pixels = self._recorder, [*points.values()]
        maps = {x: recorder.affinities(index, pixels, x).numpy() for x in self._steps}
        return AffinitySteps(
            name=name,
            size=(side, side),
            rgb=rgb,
            second=depth,
            modality="depth",
            points=points,
            stride=recorder.stride,
            options=recorder.attention.options,
            maps={step: rows[2:] for step, rows in maps.items()},
            within=maps[0][:2],
            regions=regions,
            dots=[(int(y), int(x)) for y, x in np.argwhere(labelled)],
        )


def _regions(settings: ProbeSettings, scene: ProbeScene, arguments: Any) -> np.ndarray:
    """Return the regions of RGB and of depth, `(2, H, W)`, which differ if it is misaligned."""
    side, reach = settings.grid_size, settings.misalignment
    rgb = scene.region.reshape(side, side)
    if not reach:
        return np.stack((rgb, rgb))
    aligned = generate_probe(replace(settings, misalignment=0), *arguments)
    grids = [x.depth.reshape(side, side, -1) for x in (aligned, scene)]
    shift = next(
        shift
        for shift in itertools.product(range(-reach, reach + 1), repeat=2)
        if np.array_equal(np.roll(grids[0], shift, (0, 1)), grids[1])
    )
    return np.stack((rgb, np.roll(rgb, shift, (0, 1))))


def _colours(settings: ProbeSettings) -> np.ndarray:
    """Return a colour per region: a hue per chain, paler from link to link."""
    from matplotlib import colormaps

    hues = colormaps["tab10"](np.arange(settings.num_chains) % 10)[:, None, :3]
    pale = np.linspace(0.0, 0.65, settings.chain_length)[None, :, None]
    return ((1 - pale) * hues + pale).reshape(-1, 3)
