"""Decoders of segmentation-models-pytorch, by name."""

from collections.abc import Callable

from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import nn

from mutualformer.errors import UserError

DECODERS: dict[str, Callable[[list[int], int], tuple[nn.Module, int]]] = {
    "fpn": lambda channels, dim: (
        FPNDecoder(channels, pyramid_channels=2 * dim, segmentation_channels=dim),
        dim,
    ),
    "segformer": lambda channels, dim: (SegformerDecoder(channels, segmentation_channels=dim), dim),
    "unet": lambda channels, dim: (
        UnetDecoder(channels, [2 * dim, dim, dim // 2, dim // 4, dim // 8]),
        dim // 8,
    ),
    "upernet": lambda channels, dim: (UPerNetDecoder(channels, decoder_channels=dim), dim),
}
"""Decoder and its output width by name, called with the widths of features and decoder."""


def check_decoder(name: str, dim: int) -> None:
    """Raise ``ValueError`` for a decoder that there is not, or a width that it cannot have."""
    if name not in DECODERS:
        raise UserError(f"decoder_name is {name!r}, expected one of {', '.join(DECODERS)}")
    if dim < 1 or dim % 32:
        raise UserError(f"decoder_dim is {dim}, expected a multiple of 32")
