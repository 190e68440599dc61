"""A network as an ONNX graph, proven to compute what PyTorch computes."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.image_size import shortest_spelling
from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError

TOLERANCE = 1e-4
"""By how much a logit in onnxruntime may differ from PyTorch's."""
_TRACED_BATCH = 2
_CHECKED_BATCHES = (1, 3)


def write_onnx(
    network: nn.Module, path: Path, image_size: tuple[int, int], depth_channels: int | None = None
) -> dict[str, Any]:
    """Write a network as a graph from `rgb` and `depth` to `logits`, of any batch size.

    Of a fusion that reads one of them, the graph takes that one alone.

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
    images = _random_images(network, _TRACED_BATCH, image_size, depth_channels)
    arguments: dict[str, Any] = {
        "args": tuple(images.values()),
        "dynamic_shapes": tuple({0: batch} for _ in images),
    }
    if len(images) == 1:  # which may be the second parameter
        arguments = {"kwargs": images, "dynamic_shapes": {name: {0: batch} for name in images}}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch about itself
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            exported = torch.onnx.export(
                network,
                **arguments,
                input_names=list(images),
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
            f"{image_size[0]} × {image_size[1]} pixels: {reason}. Give --format safetensors, which "
            "takes every network"
        ) from error
    return {
        "file": path.name,
        "inputs": list(images),
        "output": "logits",
        "image_size": shortest_spelling(image_size),
        "opset": exported.model.opset_imports[""],
        "max_difference": check_onnx(network, path, image_size, depth_channels),
    }


def check_onnx(
    network: nn.Module, path: Path, image_size: tuple[int, int], depth_channels: int = 1
) -> float:
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
        images = _random_images(network, size, image_size, depth_channels)
        with torch.no_grad():
            expected = network(*images.values()) if len(images) > 1 else network(**images)
        (logits,) = session.run(["logits"], {name: x.numpy() for name, x in images.items()})
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


def _random_images(
    network: nn.Module, batch_size: int, image_size: tuple[int, int], depth_channels: int
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch_size)
    channels = {"rgb": 3, "depth": depth_channels}
    images = {
        name: torch.rand((batch_size, num, *image_size), generator=generator)
        for name, num in channels.items()
    }
    # Another network than ours is called with both, whatever it reads.
    read = network.modalities if isinstance(network, MutualFormerNetwork) else tuple(images)
    return {name: images[name] for name in read}
