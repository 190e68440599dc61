"""Dense prediction network: two encoders, fusion at chosen stages, one decoder."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer import __version__
from mutualformer.check_options import check_integer
from mutualformer.errors import UserError
from mutualformer.fusions import Fusion, MutualFormerBlock
from mutualformer.fusions.matched import match_parameters
from mutualformer.fusions.probe import check_rewrites, probe_fusion, remarks_on_feedback
from mutualformer.network.check_inputs import check_range, check_shapes
from mutualformer.network.decoders import DECODERS, check_decoder
from mutualformer.network.encoder_stages import check_stages, run_stage
from mutualformer.network.encoders import (
    build_encoder,
    check_strides,
    encoder_input_sizes,
    normalization,
)
from mutualformer.network.pretrained import new_folder, write_config, write_weights
from mutualformer.network.saved_network import SavedNetwork
from mutualformer.typed_path import typed_path


class MutualFormerNetwork(SavedNetwork):
    """Predict salient objects, or the class of each pixel, from an aligned RGB and depth pair.

    Features of both encoders are embedded to tokens of width ``fusion_dim`` at the chosen strides,
    fused there, and decoded with the features of the remaining strides (added across modalities).
    The paper publishes its block and a size of 52.05 M, but not the network around it: encoder,
    stages, token width and decoder are assumptions of ours.

    Args:
        encoder_name: encoder of segmentation-models-pytorch, ``tu-*`` included.
        encoder_weights: ``None``, ``"imagenet"``, a file, or an installed weights package; see
            :func:`mutualformer.network.encoders.build_encoder`.
        share_encoder: use one encoder for both modalities (one channel is repeated to three)
            instead of two with their own weights.
        fusion: called with the token width for each stage: a class of ``mutualformer.fusions``, a
            subclass of your own of :class:`mutualformer.fusions.Fusion`, or a ``functools.partial``
            of one.
        fusion_strides: of fused tokens, out of 4, 8, 16, 32; at 352 × 352, stride 8 is 1936 tokens.
        fusion_dim: token width C.
        decoder_name: ``"fpn"``, ``"segformer"``, ``"unet"`` or ``"upernet"``.
        decoder_dim: width of the decoder, a multiple of 32 (groups of its normalisation).
        depth_channels: 1, or 3 for a second modality in colour, as thermal in false colours.
        feed_back: run the encoders stage by stage, and hand the streams that a fusion rewrites on
            to the next stage: R ← R + U_r(X'_r − X_r), likewise D, with U a 1×1 convolution from
            the token width to the encoder's that starts at zero, so that training begins without
            feedback. U is an assumption of ours: papers fuse at the width of the encoder.
        fusion_parameters: how many each fusion is to have, within 5 %, so that none wins by size:
            the width of its FFN is changed, or an FFN follows it; see
            :func:`mutualformer.fusions.matched.match_parameters`. ``mlp_ratio`` has no effect then.
        num_classes: channels of the logits: 1 for saliency, more for semantic segmentation.

    Raises:
        ValueError: a name, stride or width that is not available; weights that cannot be had; with
            ``feed_back``, a fusion that rewrites no streams, or an encoder whose stages cannot be
            run one by one.

    Attributes:
        remarks: what tables are to say of a network with this fusion.

    >>> network = MutualFormerNetwork("resnet18", fusion_dim=32).eval()
    >>> network(torch.rand(1, 3, 70, 50), torch.rand(1, 1, 70, 50)).shape
    torch.Size([1, 1, 70, 50])
    """

    def __init__(
        self,
        encoder_name: str = "mit_b2",
        encoder_weights: str | None = None,
        share_encoder: bool = False,
        fusion: Callable[[int], Fusion] = MutualFormerBlock,
        fusion_strides: Sequence[int] = (8, 16, 32),
        fusion_dim: int = 128,
        decoder_name: str = "fpn",
        decoder_dim: int = 128,
        depth_channels: int = 1,
        feed_back: bool = False,
        fusion_parameters: int | None = None,
        num_classes: int = 1,
    ) -> None:
        super().__init__()
        probe = probe_fusion(fusion, fusion_dim)
        if fusion_parameters is not None:
            fusion = match_parameters(probe, fusion_dim, fusion_parameters)
        self.settings: dict[str, Any] = {
            "encoder_name": encoder_name,
            "share_encoder": share_encoder,
            "fusion": probe.settings,
            "fusion_strides": list(fusion_strides),
            "fusion_dim": fusion_dim,
            "decoder_name": decoder_name,
            "decoder_dim": decoder_dim,
            "depth_channels": depth_channels,
            "feed_back": feed_back,
            "fusion_parameters": fusion_parameters,
            "num_classes": num_classes,
        }
        check_decoder(decoder_name, decoder_dim)
        check_integer("num_classes", num_classes, 1)
        if depth_channels not in (1, 3):
            raise UserError(f"depth_channels is {depth_channels}, expected 1 or 3")
        self.modalities = tuple(probe.modalities)
        self.num_classes = num_classes
        self.depth_channels = depth_channels
        self.share_encoder = share_encoder
        self.feed_back = feed_back
        self.remarks = remarks_on_feedback(probe, feed_back)
        widths = {"shared": 3} if share_encoder else {"rgb": 3, "depth": depth_channels}
        encoders = {
            name: build_encoder(encoder_name, in_channels=in_channels, weights=encoder_weights)
            for name, in_channels in widths.items()
            if share_encoder or name in self.modalities
        }
        self.encoders = nn.ModuleDict(encoders)
        self._range_is_checked = False
        self._input_sizes = encoder_input_sizes(encoder_name)
        out_channels: Any = next(iter(encoders.values())).out_channels
        channels: list[int] = list(out_channels)
        self._channels = tuple(channels)
        check_strides(fusion_strides, channels, encoder_name)
        if feed_back:
            check_rewrites(probe)
            for encoder in encoders.values():
                check_stages(encoder, encoder_name, self._padded((64, 64)))

        self.embeddings = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        self.feedback = nn.ModuleDict()
        for stride in sorted(fusion_strides):
            level = int(math.log2(stride))
            self.blocks[str(level)] = fusion(fusion_dim)
            self.embeddings[str(level)] = nn.ModuleDict(
                {name: nn.Conv2d(channels[level], fusion_dim, 1) for name in self.modalities}
            )
            if feed_back and level < len(channels) - 1:  # behind the last stage is none to feed
                self.feedback[str(level)] = nn.ModuleDict(
                    {name: _zero(fusion_dim, channels[level]) for name in self.modalities}
                )
            channels[level] = fusion_dim
        self.decoder, head_dim = DECODERS[decoder_name](channels, decoder_dim)
        self.head = nn.Conv2d(head_dim, num_classes, kernel_size=3, padding=1)

        self.rgb_mean: Tensor
        self.rgb_std: Tensor
        self.depth_mean: Tensor
        self.depth_std: Tensor
        # Not "mean" alone: in a graph for ONNX, a buffer must not be called like an operator.
        for kind, value in zip(("mean", "std"), normalization(encoder_name), strict=True):
            of_depth = value if depth_channels == 3 else value.mean().view(1)
            self.register_buffer(f"rgb_{kind}", value.view(1, 3, 1, 1), persistent=False)
            self.register_buffer(f"depth_{kind}", of_depth.view(1, -1, 1, 1), persistent=False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and settings to a new folder that :meth:`from_pretrained` loads.

        Raises:
            ValueError: the folder exists already, or cannot be written; nothing is left then.
        """
        with new_folder(typed_path(folder)) as temporary:
            write_weights(temporary, self.state_dict())
            write_config(temporary, self.describe())

    def describe(self) -> dict[str, Any]:
        """Say what is needed to use the trained network, in types of JSON."""
        sides = ["height", "width"]
        images = {
            "rgb": {"shape": ["batch", 3, *sides], "range": [0, 1]},
            "depth": {
                "shape": ["batch", self.depth_channels, *sides],
                "range": [0, 1],
                "convention": "near = 1, far = 0, no reading = 0",
            },
        }
        return {
            "model": type(self).__name__,
            "version": __version__,
            "network": self.settings,
            "inputs": {
                **{name: images[name] for name in self.modalities},
                "normalization": {
                    "where": "inside the network: give values in the range above",
                    **{
                        f"{name}_{kind}": getattr(self, f"{name}_{kind}").flatten().tolist()
                        for name in self.modalities
                        for kind in ("mean", "std")
                    },
                },
            },
            "output": {
                "shape": ["batch", self.num_classes, "height", "width"],
                "meaning": "logits; their sigmoid is the saliency map"
                if self.num_classes == 1
                else "logits; the largest is that of the pixel's class",
            },
        }

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that may come pretrained, for a learning rate of their own."""
        return self.encoders.parameters()

    def forward(self, rgb: Tensor | None = None, depth: Tensor | None = None) -> Tensor:
        """Predict logits.

        Args:
            rgb: `(B, 3, H, W)`, in [0, 1]; any H and W. Not needed if the fusion does not read it.
            depth: `(B, depth_channels, H, W)`, in [0, 1], near = 1. Likewise.

        Returns:
            Logits `(B, num_classes, H, W)`; of one class, their sigmoid is the saliency map.

        Raises:
            ValueError: shapes that do not fit together, or an image that is missing; a size that
                the encoder does not take; in the first call, values outside [0, 1].
        """
        given, channels = {"rgb": rgb, "depth": depth}, {"rgb": 3, "depth": self.depth_channels}
        images = check_shapes({name: (given[name], channels[name]) for name in self.modalities})
        # Values once, because a GPU has to be waited for; never in a compiled graph, which would be
        # compiled again for what is noted here.
        is_compiling = torch.compiler.is_compiling()
        if is_compiling or not self._range_is_checked:
            check_range(**images)
        if not is_compiling:
            self._range_is_checked = True
        first = next(iter(images.values()))
        size = (first.shape[-2], first.shape[-1])
        padded = self._padded(size)
        inputs = {
            name: (image - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_std")
            for name, image in images.items()
        }
        inputs = {name: self._prepare(image, padded) for name, image in inputs.items()}
        fused = self._run_in_step(inputs) if self.feed_back else self._run_in_turn(inputs)
        logits = self.head(self.decoder(fused))
        logits = F.interpolate(logits, size=padded, mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]]

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        # Encoders and decoders halve the size five times and meet again only at multiples of 32.
        return self._input_sizes.padded(size, self.settings["encoder_name"])

    def _prepare(self, image: Tensor, padded: tuple[int, int]) -> Tensor:
        padding = (0, padded[1] - image.shape[-1], 0, padded[0] - image.shape[-2])
        image = F.pad(image, padding, mode="replicate")
        return image.expand(-1, 3, -1, -1) if self.share_encoder else image

    def _encoder(self, modality: str) -> nn.Module:
        return self.encoders["shared" if self.share_encoder else modality]

    def _run_in_turn(self, images: dict[str, Tensor]) -> list[Tensor]:
        """Run each encoder to its end, then fuse the features of every level."""
        features = {name: self._encoder(name)(image) for name, image in images.items()}
        levels = [
            dict(zip(features, maps, strict=True)) for maps in zip(*features.values(), strict=True)
        ]
        return [self._fuse(level, maps)[0] for level, maps in enumerate(levels)]

    def _run_in_step(self, images: dict[str, Tensor]) -> list[Tensor]:
        """Run both encoders stage by stage; each stage gets what the fusion before it made."""
        streams, fused = images, [self._fuse(0, images)[0]]
        for level in range(1, len(self._channels)):
            maps = {name: run_stage(self._encoder(name), level, x) for name, x in streams.items()}
            joined, rewritten = self._fuse(level, maps)
            fused.append(joined)
            streams = rewritten if self._channels[level] else streams
        return fused

    def _fuse(self, level: int, maps: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the decoder gets of a level, and the features that go on."""
        key, first = str(level), next(iter(maps.values()))
        if level == 0:
            return first, maps  # the input itself, which decoders leave out
        if key not in self.blocks:
            return torch.stack(tuple(maps.values())).sum(0), maps
        grid = (first.shape[-2], first.shape[-1])
        embeddings = cast(nn.ModuleDict, self.embeddings[key])
        tokens = {name: embeddings[name](x).flatten(2).mT for name, x in maps.items()}
        pair = (tokens.get("rgb"), tokens.get("depth"))
        if key not in self.feedback:
            return self.blocks[key](*pair, grid).mT.unflatten(-1, grid), maps
        joined, *rewritten = self.blocks[key](*pair, grid, return_streams=True)
        changes = {
            name: (new - tokens[name]).mT.unflatten(-1, grid)
            for name, new in zip(("rgb", "depth"), rewritten, strict=True)
        }
        feedback = cast(nn.ModuleDict, self.feedback[key])
        fed = {name: x + feedback[name](changes[name]) for name, x in maps.items()}
        return joined.mT.unflatten(-1, grid), fed


def _zero(in_channels: int, out_channels: int) -> nn.Conv2d:
    convolution = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(cast(Tensor, convolution.bias))
    return convolution
