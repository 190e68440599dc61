"""A network as an ONNX graph, proven to compute what PyTorch computes."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mutualformer.errors import UserError

TOLERANCE = 1e-4
"""By how much a logit in onnxruntime may differ from PyTorch's."""
_TRACED_BATCH = 2
_CHECKED_BATCHES = (1, 3)


def write_onnx(
    network: nn.Module, path: Path, image_size: int, depth_channels: int | None = None
) -> dict[str, Any]:
    """Write a network as a graph from `rgb` and `depth` to `logits`, of any batch size.

    Cross-diffusion keeps its N × N affinities there, for ONNX has no loop over blocks, but needs
    no N × N × N product.

    Args:
        network: in evaluation mode, in float32, on the CPU.
        path: of the graph, to be written with its weights into one file.
        image_size: height and width of the images, which are fixed in the graph.
        depth_channels: channels of the second modality; by default what the network says, or 1.

    Returns:
        What a user has to know: file, image size, opset, and the largest difference of a logit
        between onnxruntime and PyTorch on random images, in batches of other sizes than the traced.

    Raises:
        ValueError: the network holds what ONNX does not have, or the graph computes other logits.
    """
    if depth_channels is None:
        depth_channels = getattr(network, "depth_channels", 1)
    batch = torch.export.Dim("batch")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch about itself
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            exported = torch.onnx.export(
                network,
                _random_pair(_TRACED_BATCH, image_size, depth_channels),
                dynamic_shapes=({0: batch}, {0: batch}),
                input_names=["rgb", "depth"],
                output_names=["logits"],
                dynamo=True,
                verbose=False,
            )
            assert exported is not None
            exported.save(path)
    except OSError:
        raise
    except Exception as error:  # torch raises nearly anything for what it cannot trace or translate
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{type(network).__name__}{_encoder_of(network)} cannot be exported to ONNX at "
            f"{image_size} × {image_size} pixels: {reason}. Give --format safetensors, which takes "
            "every network"
        ) from error
    return {
        "file": path.name,
        "inputs": ["rgb", "depth"],
        "output": "logits",
        "image_size": image_size,
        "opset": exported.model.opset_imports[""],
        "max_difference": check_onnx(network, path, image_size, depth_channels),
    }


def check_onnx(network: nn.Module, path: Path, image_size: int, depth_channels: int = 1) -> float:
    """Return by how much the logits of a graph differ at most from those of its network.

    Raises:
        ValueError: by more than ``TOLERANCE``.
    """
    import onnxruntime  # late: of the extra "export"

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for size in _CHECKED_BATCHES:
        rgb, depth = _random_pair(size, image_size, depth_channels)
        with torch.no_grad():
            expected = network(rgb, depth)
        (logits,) = session.run(["logits"], {"rgb": rgb.numpy(), "depth": depth.numpy()})
        difference = float((torch.from_numpy(logits) - expected).abs().max())
        if not difference <= TOLERANCE:  # NaN too
            raise UserError(
                "the ONNX graph computes other logits than PyTorch: they differ by "
                f"{difference:.1e} in a batch of {size}, expected at most {TOLERANCE:g}. Nothing "
                "is written; give --format safetensors"
            )
        largest = max(largest, difference)
    return largest


def _encoder_of(network: nn.Module) -> str:
    settings = getattr(network, "settings", {})
    return f" with encoder {settings['encoder_name']!r}" if "encoder_name" in settings else ""


def _random_pair(batch_size: int, image_size: int, depth_channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch_size)
    sizes = [(batch_size, channels, image_size, image_size) for channels in (3, depth_channels)]
    rgb, depth = (torch.rand(size, generator=generator) for size in sizes)
    return rgb, depth
