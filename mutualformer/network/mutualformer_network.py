"""Saliency network: two encoders, fusion at chosen stages, one decoder."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mutualformer import __version__
from mutualformer.errors import UserError
from mutualformer.fusions import Fusion, MutualFormerBlock
from mutualformer.fusions.probe import probe_fusion
from mutualformer.fusions.spelling import read_fusion
from mutualformer.network.check_inputs import check_range, check_shapes
from mutualformer.network.decoders import DECODERS, check_decoder
from mutualformer.network.encoders import (
    build_encoder,
    check_strides,
    encoder_input_sizes,
    normalization,
)
from mutualformer.network.pretrained import (
    describe_mismatch,
    find_pretrained,
    new_folder,
    read_config,
    read_weights,
    write_config,
    write_weights,
)
from mutualformer.typed_path import typed_path


class MutualFormerNetwork(nn.Module):
    """Predict salient objects from an aligned RGB and depth pair.

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
        fusion_strides: strides whose tokens are fused, out of 4, 8, 16, 32. Stride 8 of a
            352 × 352 image is 1936 tokens, stride 4 is 7744.
        fusion_dim: token width C.
        decoder_name: ``"fpn"``, ``"segformer"``, ``"unet"`` or ``"upernet"``.
        decoder_dim: width of the decoder, a multiple of 32 (groups of its normalisation).
        depth_channels: 1, or 3 for a second modality in colour such as thermal images in false
            colours.

    Raises:
        ValueError: a name, stride or width that is not available; weights that cannot be had.

    Attributes:
        settings: the arguments but for ``encoder_weights``, in types of JSON.

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
    ) -> None:
        super().__init__()
        probe = probe_fusion(fusion, fusion_dim)
        self.settings: dict[str, Any] = {
            "encoder_name": encoder_name,
            "share_encoder": share_encoder,
            "fusion": probe.settings,
            "fusion_strides": list(fusion_strides),
            "fusion_dim": fusion_dim,
            "decoder_name": decoder_name,
            "decoder_dim": decoder_dim,
            "depth_channels": depth_channels,
        }
        check_decoder(decoder_name, decoder_dim)
        if depth_channels not in (1, 3):
            raise UserError(f"depth_channels is {depth_channels}, expected 1 or 3")
        self.modalities = tuple(probe.modalities)
        self.depth_channels = depth_channels
        self.share_encoder = share_encoder
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
        check_strides(fusion_strides, channels, encoder_name)

        self.embeddings = nn.ModuleDict()
        self.blocks = nn.ModuleDict()
        for stride in sorted(fusion_strides):
            level = int(math.log2(stride))
            self.blocks[str(level)] = fusion(fusion_dim)
            self.embeddings[str(level)] = nn.ModuleDict(
                {name: nn.Conv2d(channels[level], fusion_dim, 1) for name in self.modalities}
            )
            channels[level] = fusion_dim
        self.decoder, head_dim = DECODERS[decoder_name](channels, decoder_dim)
        self.head = nn.Conv2d(head_dim, 1, kernel_size=3, padding=1)

        self.rgb_mean: Tensor
        self.rgb_std: Tensor
        self.depth_mean: Tensor
        self.depth_std: Tensor
        # Not "mean" alone: in a graph for ONNX, a buffer must not be called like an operator.
        for kind, value in zip(("mean", "std"), normalization(encoder_name), strict=True):
            of_depth = value if depth_channels == 3 else value.mean().view(1)
            self.register_buffer(f"rgb_{kind}", value.view(1, 3, 1, 1), persistent=False)
            self.register_buffer(f"depth_{kind}", of_depth.view(1, -1, 1, 1), persistent=False)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "MutualFormerNetwork":
        """Build a network, with random weights, from its ``settings``, whoever wrote them.

        Raises:
            ValueError: one is unknown, or has a wrong type or value.
        """
        try:
            fusion = read_fusion(settings.get("fusion", "mutualformer"))
            return cls(**{**settings, "fusion": fusion}, encoder_weights=None)
        except Exception as error:  # a value of a wrong type fails wherever it is used first
            reason = str(error).replace("MutualFormerNetwork.__init__()", "the network")
            raise UserError(f"these settings make no network: {reason}") from error

    @classmethod
    def from_pretrained(
        cls, source: str | Path, revision: str | None = None
    ) -> "MutualFormerNetwork":
        """Load a network that ``mutualformer export`` or :meth:`save_pretrained` wrote.

        No code in the files is executed, whoever wrote them, and no other weights are downloaded.

        Args:
            source: a folder; or ``owner/name`` of a repository on the Hugging Face hub, if there is
                no such folder. A ``Path`` is always a folder, and a folder needs no network.
            revision: branch, tag or commit of the repository.

        Returns:
            The network in evaluation mode, on the CPU.

        Raises:
            ValueError: nothing is found there, files are damaged or foreign, a newer version wrote
                them, or weights and settings do not fit together.
        """
        config_path, weights_path = find_pretrained(source, revision)
        config = read_config(config_path, cls.__name__, __version__)
        try:
            network = cls.from_settings(config["network"])
        except ValueError as error:
            raise UserError(f"{config_path}: {error}") from error
        state = read_weights(weights_path)
        mismatch = describe_mismatch(state, network.state_dict())
        if mismatch:
            raise UserError(
                f"{weights_path} does not fit the settings in {config_path}: of its parameters, "
                f"{mismatch}. Keep the two files together as they were exported"
            )
        network.load_state_dict(state)
        return network.eval()

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
                "shape": ["batch", 1, "height", "width"],
                "meaning": "logits; their sigmoid is the saliency map",
            },
        }

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters that may come pretrained, for a learning rate of their own."""
        return self.encoders.parameters()

    def forward(self, rgb: Tensor | None = None, depth: Tensor | None = None) -> Tensor:
        """Predict saliency logits.

        Args:
            rgb: `(B, 3, H, W)`, in [0, 1]; any H and W. Not needed if the fusion does not read it.
            depth: `(B, depth_channels, H, W)`, in [0, 1], near = 1. Likewise.

        Returns:
            Logits `(B, 1, H, W)`; their sigmoid is the saliency map.

        Raises:
            ValueError: shapes that do not fit together, or an image that is missing; a size that
                the encoder does not take; in the first call, values outside [0, 1].
        """
        given, channels = {"rgb": rgb, "depth": depth}, {"rgb": 3, "depth": self.depth_channels}
        images = check_shapes({name: (given[name], channels[name]) for name in self.modalities})
        if not self._range_is_checked:  # once, because a GPU has to be waited for
            check_range(**images)
            self._range_is_checked = True
        first = next(iter(images.values()))
        size = (first.shape[-2], first.shape[-1])
        padded = self._padded(size)
        inputs = {
            name: (image - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_std")
            for name, image in images.items()
        }
        features = {name: self._encode(name, inputs[name]) for name in self.modalities}
        logits = self.head(self.decoder(self._fuse(features)))
        logits = F.interpolate(logits, size=padded, mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]]

    def _padded(self, size: tuple[int, int]) -> tuple[int, int]:
        # Encoders and decoders halve the size five times and meet again only at multiples of 32.
        return self._input_sizes.padded(size, self.settings["encoder_name"])

    def _encode(self, modality: str, image: Tensor) -> list[Tensor]:
        height, width = image.shape[-2:]
        padded_height, padded_width = self._padded((height, width))
        padding = (0, padded_width - width, 0, padded_height - height)
        image = F.pad(image, padding, mode="replicate")
        if self.share_encoder:
            return self.encoders["shared"](image.expand(-1, 3, -1, -1))
        return self.encoders[modality](image)

    def _fuse(self, features: dict[str, list[Tensor]]) -> list[Tensor]:
        streams = [features.get("rgb"), features.get("depth")]
        first = next(stream for stream in streams if stream is not None)
        fused = [first[0]]  # the input itself, which decoders leave out
        for level in range(1, len(first)):
            maps = {name: stream[level] for name, stream in features.items()}
            if str(level) not in self.blocks:
                fused.append(torch.stack(tuple(maps.values())).sum(0))
                continue
            spatial_size = (first[level].shape[-2], first[level].shape[-1])
            embeddings = self.embeddings[str(level)]
            assert isinstance(embeddings, nn.ModuleDict)
            tokens = {name: embeddings[name](x).flatten(2).mT for name, x in maps.items()}
            joined = self.blocks[str(level)](tokens.get("rgb"), tokens.get("depth"), spatial_size)
            fused.append(joined.mT.unflatten(-1, spatial_size))
        return fused
