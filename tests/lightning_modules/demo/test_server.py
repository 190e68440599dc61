"""What the page is answered: the map that `predict` writes, affinities of a token, its fields."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exports import ask, page_of, pixels, write_export, write_pair
from lightning.pytorch import Trainer
from PIL import Image

from datamodules import RGBDSaliencyDataModule, RGBXSegmentationDataModule
from lightning_modules import SaliencyModule, SegmentationModule
from lightning_modules.callbacks import PredictionWriter
from lightning_modules.demo.exported_model import ExportedModel
from mutualformer import MutualFormerNetwork

LABEL_MAP = {"classes": ["floor", "wall", "mat"], "void": [0], "offset": 1}

pytest.importorskip("flask", reason="flask is not installed")


def predicted(module: Any, data: Any, folder: Path) -> np.ndarray:
    """Return what `predict` writes of a pair."""
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[PredictionWriter(str(folder))],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.predict(module.eval(), datamodule=data)
    (path,) = folder.rglob("*.png")
    return np.array(Image.open(path))


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({}, {}),
        ({"image_size": "64, 96"}, {"image_size": [64, 96]}),
        ({"near": "dark"}, {"near_dark_sets": ["pair"]}),
        ({"invalid_depth": "none"}, {"invalid_depth": "none"}),
        ({"depth_range": "500, 4e3"}, {"depth_range": [500, 4000]}),
    ],
)
def test_the_map_is_the_file_that_predict_writes(
    fields: dict[str, str],
    settings: dict[str, Any],
    model: ExportedModel,
    export: Path,
    tmp_path: Path,
) -> None:
    files = write_pair(tmp_path / "pair")
    answer = ask(model, files, **fields).json
    given = {f"predict_{role}": str(path) for role, path in files.items()}
    data = RGBDSaliencyDataModule(**given, **{"image_size": 64, **settings}, num_workers=0)
    module = SaliencyModule(MutualFormerNetwork.from_pretrained(export))
    expected = predicted(module, data, tmp_path / "maps")
    assert expected.shape == (48, 80) and np.ptp(expected) > 50
    np.testing.assert_array_equal(pixels(answer["file"]), expected)
    np.testing.assert_array_equal(pixels(answer["pictures"]["map"]), expected)
    assert answer["size"] == [48, 80] and answer["remarks"] == []


def test_each_field_of_the_page_changes_the_map(model: ExportedModel, tmp_path: Path) -> None:
    files = write_pair(tmp_path / "pair")
    fields = {"image_size": "96", "near": "dark", "invalid_depth": "none", "depth_range": "0,9000"}
    maps = [ask(model, files, **{name: x}).json["file"] for name, x in fields.items()]
    assert len({ask(model, files).json["file"], *maps}) == 5


@pytest.mark.parametrize(
    ("given", "second", "settings"),
    [
        ({"second_modality": "depth", "near_dark": True}, "Depth", {"near_dark": True}),
        ({"second_modality": "hha"}, "RGB", {}),
        ({"second_modality": "thermal", "depth_range": [9, 99]}, "RGB", {"depth_range": [9, 99]}),
    ],
)
def test_classes_are_those_that_predict_writes(
    given: dict[str, Any], second: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    channels = 1 if second == "Depth" else 3
    data_settings = {**given, "image_size": [64, 96], "depth_channels": channels}
    views = {"test_scales": [1.0, 1.5], "test_flip": True}
    training = {"data": data_settings, "model": views}
    folder = write_export(
        *(tmp_path / "export", "mutualformer", training, LABEL_MAP),
        num_classes=3,
        depth_channels=channels,
    )
    files = write_pair(tmp_path / "pair")
    if second == "RGB":
        Image.open(files["rgb"]).transpose(Image.Transpose.ROTATE_180).save(files["depth"])
    answer = ask(ExportedModel(folder), files).json
    data = RGBXSegmentationDataModule(
        **{f"predict_{role}": str(path) for role, path in files.items()},
        **{**settings, "image_size": [64, 96], "second_modality": given["second_modality"]},
        **{"depth_channels": channels, "num_workers": 0, "label_map": LABEL_MAP},
        root=str(tmp_path / "pair"),
    )
    module = SegmentationModule(MutualFormerNetwork.from_pretrained(folder), **views)
    expected = predicted(module, data, tmp_path / "maps")
    assert set(np.unique(expected)) <= {1, 2, 3} and len(np.unique(expected)) > 1
    np.testing.assert_array_equal(pixels(answer["file"]), expected)
    assert pixels(answer["pictures"]["map"]).shape == (48, 80, 3)
    assert pixels(answer["pictures"]["overlay"]).shape[0] > 48  # with a legend below


def test_a_network_of_one_modality_needs_that_image_alone(tmp_path: Path) -> None:
    model = ExportedModel(write_export(tmp_path / "export", "rgb"))
    files = write_pair(tmp_path / "pair")
    answer = ask(model, {"rgb": files["rgb"]})
    assert answer.json["pictures"].keys() == {"rgb", "map", "overlay"}
    assert "does not read" in ask(model, files).json["error"]
    page = page_of(model).get("/").text
    assert 'name="rgb"' in page and 'name="depth"' not in page and "depth_range" not in page


@pytest.mark.parametrize("fusion", ["sum", "concat"])
def test_a_fusion_without_affinities_says_so(fusion: str, tmp_path: Path) -> None:
    model = ExportedModel(write_export(tmp_path / "export", fusion))
    page = page_of(model).get("/").text
    assert "has no cross-diffusion attention" in page and 'id="affinities"' not in page
    answer = ask(model, write_pair(tmp_path / "pair"), "/affinities", x=0.5, y=0.5)
    assert answer.status_code == 400 and "no cross-diffusion" in answer.json["error"]


def test_affinities_are_of_the_token_clicked_and_of_its_pair(
    model: ExportedModel, tmp_path: Path
) -> None:
    pairs = [write_pair(tmp_path / "small"), write_pair(tmp_path / "large", (60, 90))]
    place = {"y": 0.4, "x": 0.9}

    def answer(files: dict[str, Path], **place: float) -> Any:
        return ask(model, files, "/affinities", **place).json

    first, second = answer(pairs[0], **place), answer(pairs[1], **place)
    assert first["token"] == [(3 + 0.5) * 8 / 64, (7 + 0.5) * 8 / 64]
    assert [pixels(x["picture"]).shape for x in first["maps"]] == [(64, 64, 3)] * 4
    assert answer(pairs[0], **place) == first != second
    assert answer(pairs[0], y=0.4, x=0.1)["maps"] != first["maps"]
    assert answer(pairs[0], y=1.0, x=1.0)["token"] == [7.5 * 8 / 64] * 2  # the last pixel
    # By the definition, of the queries and keys of this pair.
    with torch.inference_mode():
        batch = model.predict(*_request(pairs[0]), model.reading).batch
        model.module(batch["rgb"], batch["depth"])
        assert model.recorder is not None
        query, key, _ = model.recorder._heard["rgb"]
        row = (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)[0, :, 3 * 8 + 7].mean(0)
    low, high = (64 * row).aminmax()
    assert first["maps"][0]["range"] == f"{low:.2f} – {high:.2f}"


def _request(files: dict[str, Path]) -> tuple[dict[str, tuple[str, bytes]]]:
    return ({role: (path.name, path.read_bytes()) for role, path in files.items()},)


def test_depth_of_other_size_and_same_proportions_is_resized_and_said(
    model: ExportedModel, export: Path, tmp_path: Path
) -> None:
    files = write_pair(tmp_path / "pair")
    Image.open(files["depth"]).resize((40, 24), Image.Resampling.NEAREST).save(files["depth"])
    answer = ask(model, files).json
    assert "24 × 40 pixels (height × width) and the RGB image 48 × 80" in answer["remarks"][0]
    given = {f"predict_{role}": str(path) for role, path in files.items()}
    data = RGBDSaliencyDataModule(**given, image_size=64, num_workers=0, resize_depth=True)
    module = SaliencyModule(MutualFormerNetwork.from_pretrained(export))
    np.testing.assert_array_equal(
        pixels(answer["file"]), predicted(module, data, tmp_path / "maps")
    )


def test_neither_page_nor_server_asks_another_machine(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    model = ExportedModel(export)
    assert ask(model, write_pair(tmp_path / "pair")).status_code == 200
    client = page_of(model)
    for path in ("/", "/static/page.css", "/static/page.js"):
        answer = client.get(path)
        assert answer.status_code == 200 and "//" not in answer.text.replace("// ", "")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")


def test_fields_begin_as_in_training(tmp_path: Path) -> None:
    data = {
        **{"image_size": [64, 96], "near_dark": True, "depth_range": [0, 5000]},
        **{"invalid_depth": "both", "second_modality": "depth"},
    }
    model = ExportedModel(write_export(tmp_path / "export", training={"data": data}))
    page = page_of(model).get("/").text
    for words in ('value="64, 96"', 'value="0, 5000"', "selected>dark", "selected>both"):
        assert words in page
    # Of several data sets, which is none's own; and of a folder that says nothing.
    data["invalid_depth"] = {"DES": "zero"}
    several = ExportedModel(write_export(tmp_path / "several", training={"data": data}))
    assert several.reading.invalid_depth == "auto"
    silent = ExportedModel(write_export(tmp_path / "silent", training={"data": "?"}))
    assert silent.reading.image_size == "352"
