"""Weights to begin a new training with: of a checkpoint, a run, or an exported network."""

from collections.abc import Mapping

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lightning_modules.runs.checkpoints import match_compiled, read_tensors
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError
from mutualformer.network.pretrained import (
    WEIGHTS_NAME,
    describe_mismatch,
    find_pretrained,
    read_weights,
)
from mutualformer.typed_path import typed_path

_PREFIX = "network."  # of the network's parameters in a module


def load_initial_weights(module: nn.Module, source: str) -> None:
    """Load what has the same name and shape, and say in a line what has not.

    Args:
        module: with the network as ``network``.
        source: a checkpoint of any network, the folder of a run (its best checkpoint), a folder
            that `mutualformer export` wrote, a file of safetensors, ``owner/name`` on the Hugging
            Face hub; or a file of ``torch.save(network.state_dict())`` or of a part of that.

    Raises:
        UserError: there is nothing of the kind, or nothing in it fits.
    """
    here = module.state_dict()
    found = _read(source)
    # A network alone names its parameters without the module around it.
    inside = {f"{_PREFIX}{name}": value for name, value in found.items()}
    stored = max(
        (match_compiled(x, here) for x in (found, inside)), key=lambda x: len(x & here.keys())
    )
    fitting = {
        name: value
        for name, value in stored.items()
        if name in here and here[name].shape == value.shape
    }
    mismatch = describe_mismatch(stored, here)
    if not any(value.is_floating_point() and value.dim() for value in fitting.values()):
        raise UserError(
            f"model.init_from is {source}, of whose parameters none fits the network: {mismatch}. "
            "Give weights of the same encoder, fusion or decoder"
        )
    module.load_state_dict(fitting, strict=False)
    left_out = f"; of the others, {mismatch}" if mismatch else ""
    rank_zero_info(
        f"Weights from {source}: {len(fitting)} of {len(here)} parameters and buffers{left_out}"
    )


def _read(source: str) -> Mapping[str, Tensor]:
    path = typed_path(source)
    if path.is_dir() and not (path / WEIGHTS_NAME).exists():
        path = RunFolder(path).find_checkpoint()
    if path.is_dir() or not path.exists():
        return read_weights(find_pretrained(source)[1])
    if path.suffix == ".safetensors":
        return read_weights(path)
    content = read_tensors(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(x, Tensor) for x in state.values()):
        raise UserError(
            f"model.init_from is {path}, which holds no parameters by name, expected a checkpoint, "
            "or a state_dict"
        )
    return state
