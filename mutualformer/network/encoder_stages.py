"""Encoders run one stage after another, so that something can happen to the features between."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from segmentation_models_pytorch.encoders.mix_transformer import MixVisionTransformerEncoder
from segmentation_models_pytorch.encoders.mobilenet import MobileNetV2Encoder
from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
from segmentation_models_pytorch.encoders.timm_efficientnet import EfficientNetBaseEncoder
from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from timm.models._features import FeatureListNet
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import Tensor, nn

from mutualformer.errors import UserError

Stages = Sequence[Sequence[nn.Module]]


def check_stages(encoder: nn.Module, name: str, size: tuple[int, int]) -> None:
    """Try out on an image whether the stages of an encoder give what the encoder gives.

    Args:
        encoder: as :func:`mutualformer.network.encoders.build_encoder` makes it.
        name: what to call it.
        size: height and width of an image that it takes.

    Raises:
        UserError: its features are not made by one stage after another, or not in a way that is
            known here.
    """
    if _stages(encoder) is None or not _add_up(encoder, size):
        raise UserError(
            f"feed_back is true, but encoder {name!r} cannot be run stage by stage; expected a "
            "ResNet, MiT, EfficientNet-Lite or MobileNetV2 of segmentation-models-pytorch, or a "
            "model of timm, 'tu-…', whose stages follow one another, as 'tu-convnext_tiny'"
        )


def run_stage(encoder: nn.Module, level: int, features: Tensor) -> Tensor:
    """Run one stage of an encoder that :func:`check_stages` has let pass.

    Args:
        encoder: the encoder.
        level: of the result, whose stride is 2 to the power of it; from 1.
        features: `(B, C, H, W)`, the result of the last stage that there is before, or the image.

    Returns:
        Features at the level; with 0 channels where the encoder has none there.

    >>> from mutualformer.network.encoders import build_encoder
    >>> run_stage(build_encoder("resnet18"), 1, torch.rand(1, 3, 64, 64)).shape
    torch.Size([1, 64, 32, 32])
    """
    # Looked up each time: parts of a network are replaced, as by synchronised normalisation.
    stages = _stages(encoder)
    assert stages is not None
    modules = stages[level - 1]
    if not modules:
        size = (features.shape[-2] // 2, features.shape[-1] // 2)
        return features.new_empty((features.shape[0], 0, *size))
    channels_last = bool(getattr(encoder, "_is_channel_last", False))
    if channels_last and any(stages[: level - 1]):
        features = features.movedim(1, -1)
    for module in modules:
        features = module(features)
    return features.movedim(-1, 1) if channels_last else features


@torch.no_grad()
def _add_up(encoder: nn.Module, size: tuple[int, int]) -> bool:
    parameter, out_channels = next(encoder.parameters()), cast(Any, encoder).out_channels
    image = torch.linspace(0, 1, size[1], device=parameter.device, dtype=parameter.dtype)
    image = image.expand(1, out_channels[0], *size)
    training = encoder.training
    try:
        expected = encoder.eval()(image)
        features, got = image, [image]
        for level in range(1, len(out_channels)):
            got.append(run_stage(encoder, level, features))
            features = got[-1] if got[-1].shape[1] else features
        return len(got) == len(expected) and all(
            a.shape == b.shape and (a.is_meta or torch.equal(a, b))
            for a, b in zip(got, expected, strict=True)
        )
    except Exception:  # whatever a module says about an input that is not for it
        return False
    finally:
        encoder.train(training)


def _stages(encoder: nn.Module) -> Stages | None:
    """Return the modules of each level, none where the encoder lacks one; None if not known."""
    e: Any = encoder
    if isinstance(e, ResNetEncoder):
        deeper = [(e.layer2,), (e.layer3,), (e.layer4,)]
        return [(e.conv1, e.bn1, e.relu), (e.maxpool, e.layer1), *deeper]
    if isinstance(e, MixVisionTransformerEncoder):
        parts = ("patch_embed", "block", "norm")
        return [(), *(tuple(getattr(e, f"{part}{i}") for part in parts) for i in (1, 2, 3, 4))]
    if isinstance(e, EfficientNetBaseEncoder):
        blocks = list(e.blocks)
        return [(e.conv_stem, e.bn1), blocks[:2], blocks[2:3], blocks[3:5], blocks[5:]]
    if isinstance(e, MobileNetV2Encoder):
        return _cut(e.features, e._out_indexes)
    if not isinstance(e, TimmUniversalEncoder):
        return None
    missing: Stages = [()] if e._is_transformer_style else []
    if isinstance(e.model, FeatureListNet):
        names = list(e.model)
        outputs = [names.index(name) for name in e.model.return_layers]
        return [*missing, *_cut(e.model.values(), outputs)]
    if isinstance(e.model, EfficientNetFeatures | MobileNetV3Features):
        stem = [e.model.conv_stem, e.model.bn1]
        stem += [e.model.act1] if isinstance(e.model, MobileNetV3Features) else []
        outputs = [len(stem) - 1 + stage for stage in e.model._stage_out_idx]
        return [*missing, *_cut([*stem, *e.model.blocks], outputs)]
    return None


def _cut(modules: Iterable[nn.Module], outputs: Iterable[int]) -> list[Sequence[nn.Module]]:
    """Cut modules that follow one another behind each of some positions."""
    modules, ends = list(modules), [index + 1 for index in outputs]
    return [modules[start:end] for start, end in zip([0, *ends], ends, strict=False)]
