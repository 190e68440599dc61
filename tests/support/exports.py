"""Exported networks, untrained and small, a pair of images, and what their page answers."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lightning_modules.demo.exported_model import ExportedModel
from mutualformer import MutualFormerNetwork
from mutualformer.fusions.spelling import read_fusion


def write_export(
    folder: Path,
    fusion: str = "mutualformer",
    training: Any = None,
    label_map: Any = None,
    **own: Any,
) -> Path:
    """Write what `mutualformer export` writes, of random weights that see differences."""
    torch.manual_seed(0)
    network = MutualFormerNetwork(
        "tu-test_efficientnet",
        **{"fusion_strides": [8, 16], "fusion_dim": 16, "decoder_dim": 32, **own},
        fusion=read_fusion(
            {"name": fusion, "num_heads": 2} if fusion != "sum" else {"name": "sum"}
        ),
    )
    torch.nn.init.normal_(network.head.weight, std=0.5)
    network.eval().save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["training"] = training or {"data": {"image_size": 64}}
    if label_map:
        config["label_map"] = label_map
    path.write_text(json.dumps(config))
    return folder


def write_pair(folder: Path, size: tuple[int, int] = (48, 80)) -> dict[str, Path]:
    """Write an RGB image and depth in millimetres with holes, both with shapes in them."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    disc = (y - size[0] / 2) ** 2 + (x - size[1] / 3) ** 2 < (size[0] / 4) ** 2
    rgb = generator.integers(0, 90, (*size, 3)) + 120 * disc[..., None]
    depth = 3000 + 20 * x - 1500 * disc
    depth[:4, :4] = 0
    folder.mkdir(exist_ok=True)
    files = {"rgb": folder / "scene.png", "depth": folder / "scene_depth.png"}
    Image.fromarray(rgb.astype(np.uint8)).save(files["rgb"])
    Image.fromarray(depth.astype(np.uint16)).save(files["depth"])
    return files


def page_of(model: ExportedModel) -> Any:
    """Return a client of the page of a model."""
    from lightning_modules.demo.server import build_app  # which needs flask

    return build_app(model).test_client()


def ask(model: ExportedModel, files: dict[str, Path], to: str = "/predict", **fields: Any) -> Any:
    """Return what the page is answered."""
    given = {role: (io.BytesIO(path.read_bytes()), path.name) for role, path in files.items()}
    return page_of(model).post(to, data={**given, **fields})


def pixels(url: str) -> np.ndarray:
    """Return the picture that an answer holds."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
