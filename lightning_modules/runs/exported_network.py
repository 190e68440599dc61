"""The network that a checkpoint holds, without its training, and what its user must know."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lightning_modules.runs.checkpoints import match_compiled
from mutualformer import MutualFormerNetwork, __version__
from mutualformer.errors import UserError
from mutualformer.network.pretrained import describe_mismatch

_OURS = ("mutualformer.MutualFormerNetwork", "mutualformer.network.MutualFormerNetwork")

PREDICTION_SETTINGS = ("test_scales", "test_flip", "test_window", "test_window_stride")
"""Of a module, by which predictions come of logits."""


def mapping_in(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return what a mapping holds under a name, if it is one too; the file may be a stranger's.

    >>> mapping_in({"training": "none"}, "training"), mapping_in({"model": {"a": 1}}, "model")
    ({}, {'a': 1})
    """
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}


def build_network(
    checkpoint: Mapping[str, Any], path: Path, modules: Collection[str] = ()
) -> nn.Module:
    """Build the network that a checkpoint holds, in evaluation mode, with its weights.

    Args:
        checkpoint: what `read_checkpoint` returned. It may be a stranger's, and decides by itself
            about no code that is run.
        path: of the checkpoint, for messages.
        modules: those of the user, imported already, whose classes may be built.

    Raises:
        UserError: it does not say which network it holds, or holds one of another module; or
            settings and weights do not fit together.
    """
    hyper_parameters = checkpoint.get("hyper_parameters")
    spec = hyper_parameters.get("network") if isinstance(hyper_parameters, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(spec.get("class_path"), str):
        raise UserError(
            f"{path} does not hold a mutualformer.MutualFormerNetwork, or does not say so, "
            "expected a checkpoint of mutualformer fit"
        )
    found = _find_class(spec["class_path"], path, modules)
    settings = spec.get("init_args") or {}
    if issubclass(found, MutualFormerNetwork):
        settings = {name: x for name, x in settings.items() if name != "encoder_weights"}
        network: nn.Module = found.from_settings(settings)
    else:
        try:
            network = found(**settings)
        except Exception as error:  # a class of the user's may raise anything
            raise UserError(
                f"{spec['class_path']} cannot be built from the settings in {path} alone "
                f"({type(error).__name__}: {error}): build it in Python, and load state_dict there"
            ) from error
    expected = [f"network.{name}" for name in network.state_dict()]
    state = {
        name.removeprefix("network."): value
        for name, value in match_compiled(checkpoint["state_dict"], expected).items()
        if name.startswith("network.")
    }
    mismatch = describe_mismatch(state, network.state_dict())
    if mismatch:
        raise UserError(f"{path} does not fit its own settings: of its parameters, {mismatch}")
    network.load_state_dict(state)
    return network.eval()


def _find_class(name: str, path: Path, modules: Collection[str]) -> type[nn.Module]:
    if name in _OURS:
        return MutualFormerNetwork
    module, _, class_name = name.rpartition(".")
    found = getattr(sys.modules[module], class_name, None) if module in modules else None
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise UserError(
            f"{path} does not hold a mutualformer.MutualFormerNetwork, but {name:.80}, expected "
            "that, or a network of a module that you trust: give --import MODULE"
        )
    return found


def describe_network(network: nn.Module, depth_channels: int) -> dict[str, Any]:
    """Say what is needed to use a trained network, in types of JSON.

    Args:
        network: of any class; ours says it itself.
        depth_channels: channels of the second modality in training.
    """
    if isinstance(network, MutualFormerNetwork):
        return network.describe()
    sides = ["height", "width"]
    return {
        "model": f"{type(network).__module__}.{type(network).__qualname__}",
        "version": __version__,
        "inputs": {
            "rgb": {"shape": ["batch", 3, *sides], "range": [0, 1]},
            "depth": {"shape": ["batch", depth_channels, *sides], "range": [0, 1]},
        },
    }
