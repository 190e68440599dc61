"""The module of segmentation: what it trains on, scores, shows and refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from datamodules import collate
from datamodules.label_map import LabelMap
from lightning_modules import SegmentationModule
from lightning_modules.evaluation.view_averaging import ViewAveraging
from lightning_modules.segmentation_module import classes_at
from mutualformer.errors import UserError

MAP = LabelMap(("wall", "bed", "lamp"), void=(0,), offset=1)


class Thresholds(nn.Module):
    """Tell class 0, 1 or 2 by how bright a pixel is in red; three classes at most."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(40.0))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        self.sizes.append(tuple(rgb.shape[-2:]))
        centres = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1)
        return -self.sharpness * (rgb[:, :1] - centres) ** 2


def sample(label: np.ndarray, size: tuple[int, int] = (8, 8)) -> dict[str, Any]:
    """Return an item whose red channel shows what the label says; void looks like a bed."""
    levels = np.array([0.1, 0.5, 0.9] + [0.5] * 253, np.float32)[label]
    red = torch.from_numpy(levels)[None, None]
    red = nn.functional.interpolate(red, size=size, mode="nearest")[0]
    small = nn.functional.interpolate(
        torch.from_numpy(label)[None, None].float(), size=size, mode="nearest"
    )
    return {
        "rgb": red.expand(3, -1, -1).contiguous(),
        "depth": torch.zeros(1, *size),
        "label": small[0, 0].to(torch.uint8),
        "ground_truth": torch.from_numpy(label),
        "name": f"image_{label.sum()}",
        "dataset": "A",
        "original_size": label.shape,
    }


@pytest.fixture
def label() -> np.ndarray:
    """Return a label of 12 × 16 pixels with void and without lamps."""
    label = np.zeros((12, 16), np.uint8)
    label[:, 8:] = 1
    label[:4, :4] = 255
    return label


def test_scores_are_those_of_original_pixels_and_void_is_left_out(label: np.ndarray) -> None:
    module = SegmentationModule(Thresholds())
    batch = collate([sample(label), sample(label)])
    output = module.validation_step(batch, 0)
    assert output["probabilities"].shape == (2, 3, 8, 8)
    scores = module.metric("A").compute()
    assert module.metric("A").confusion.sum() == 2 * (label != 255).sum()
    assert scores["miou"] > 0.9 and scores["iou_class_2"].isnan()
    records = output["per_image"]
    assert records.names == batch["name"] and records.classes[0] == "class 0"
    assert records.counts["of_label"][0].tolist() == [80, 96, 0]


def test_the_classes_are_those_of_the_data(label: np.ndarray) -> None:
    module = SegmentationModule(Thresholds())
    with_map(module, MAP)
    assert [score.name for score in module.scores][-3:] == ["iou_wall", "iou_bed", "iou_lamp"]
    assert "images of 8 × 8 pixels, whole images, scale 1, not mirrored" in module.protocol
    batch = collate([sample(label)])
    output = module.predict_step(batch, 0)
    # With the data set's own values: 0 is void there, and never predicted.
    values = np.asarray(module.prediction_image(output, 0, (12, 16)))
    assert values.dtype == np.uint8 and set(np.unique(values)) == {1, 2}
    assert (values[6:, :7] == 1).all() and (values[:, 10:] == 2).all()
    overlay = module.prediction_overlay(batch, output, 0, (12, 160))
    assert overlay.width == 160 and overlay.height > 12
    assert MAP.colours[0] in {colour for _, colour in overlay.getcolors(10_000)}
    pictures = module.pictures(batch, output)
    assert list(pictures) == ["RGB", "Depth", "Prediction", "Label"]
    assert pictures["Label"][0, :, 0, 0].tolist() == [0, 0, 0]  # void
    assert (pictures["Label"][0, :, -1, 0] * 255).round().int().tolist() == list(MAP.colours[0])


class Data:
    """What a module asks of its trainer's data module."""

    image_size = (8, 8)
    second_modality = "depth"

    def __init__(self, label_map: LabelMap) -> None:
        self.label_map = label_map


def with_map(module: SegmentationModule, label_map: LabelMap) -> None:
    module._trainer = type("Trainer", (), {"datamodule": Data(label_map)})()
    module.setup("test")


def test_another_number_of_classes_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"num_classes of .*Thresholds is 3, and .*Data has 2 cl"):
        with_map(SegmentationModule(Thresholds()), LabelMap(("wall", "bed")))
    with pytest.raises(UserError, match="class_weights holds 2 numbers, expected one .* 3 classes"):
        with_map(SegmentationModule(Thresholds(), class_weights=[1.0, 2.0]), MAP)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_weights": [1.0, -1.0]}, "class_weights"),
        ({"class_weights": [0.0, 0.0]}, "not all 0"),
        ({"ohem_threshold": 1.0}, "ohem_threshold is 1.0"),
        ({"test_scales": []}, "test_scales is"),
        ({"test_scales": [1.0, 0.0]}, "test_scales is"),
        ({"test_scales": [1.0, 1]}, "each scale once"),
        ({"test_window": (8, 64)}, "test_window is"),
        ({"test_window_stride": 0.5}, "there is no test_window"),
        ({"test_window": (64, 64), "test_window_stride": 0.0}, "test_window_stride is 0.0"),
    ],
)
def test_options_outside_their_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SegmentationModule(Thresholds(), **options)


def test_every_view_is_seen_and_brought_back() -> None:
    network = Thresholds()
    rgb = torch.rand(1, 3, 64, 96)
    views = ViewAveraging(scales=(0.5, 1.0), flip=True, window=(40, 96), stride=1.0)
    probabilities = views(network, rgb, rgb[:, :1])
    assert probabilities.shape == (1, 3, 64, 96)
    # At half the size the window is cut to the image; at full size it slides down once.
    assert network.sizes == [(32, 48)] * 2 + [(40, 96)] * 4
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 64, 96))
    # A network that looks at single pixels sees the same through any window, and mirrored.
    alone = ViewAveraging()(network, rgb, rgb[:, :1])
    same = ViewAveraging(flip=True, window=(48, 40))(network, rgb, rgb[:, :1])
    torch.testing.assert_close(same, alone)


def test_test_time_options_count_in_test_and_not_in_validation(label: np.ndarray) -> None:
    network = Thresholds()
    module = SegmentationModule(network, test_scales=[1.0, 2.0], test_flip=True)
    batch = collate([sample(label)])
    module.validation_step(batch, 0)
    assert network.sizes == [(8, 8)]
    module.test_step(batch, 0)
    assert network.sizes[1:] == [(8, 8)] * 2 + [(16, 16)] * 2


def test_a_class_is_never_interpolated() -> None:
    probabilities = torch.zeros(3, 2, 2)
    probabilities[0, :, 0] = 1
    probabilities[2, :, 1] = 1
    assert set(classes_at(probabilities, (7, 9)).unique().tolist()) == {0, 2}


def test_training_sees_labels_and_ignores_void(label: np.ndarray) -> None:
    module = SegmentationModule(Thresholds(), class_weights=[1.0, 1.0, 5.0], ohem_threshold=0.5)
    batch = collate([sample(label)])
    loss = module.compute_loss(batch)
    batch["rgb"][..., :2, :2] = 0.9  # void there
    assert loss.isfinite() and module.compute_loss(batch) == loss
    batch["label"][:] = 255
    assert module.compute_loss(batch) == 0


def test_a_wrong_number_of_channels_is_refused_before_training(label: np.ndarray) -> None:
    network = Thresholds()
    network.num_classes = 4  # says so, and gives three
    module = SegmentationModule(network)
    with pytest.raises(
        UserError, match=r"output of .* is \(1, 3, 8, 8\), expected .*\(1, 4, 8, 8\)"
    ):
        module.check_batch(collate([sample(label)]))


def test_predictions_and_overlays_lie_apart(tmp_path: Path, label: np.ndarray) -> None:
    from lightning.pytorch import Trainer

    from lightning_modules.callbacks import PredictionWriter

    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        default_root_dir=tmp_path,
        callbacks=[PredictionWriter()],
    )
    loader = DataLoader([sample(label)], collate_fn=collate)
    trainer.predict(SegmentationModule(Thresholds()), loader)
    name = f"image_{label.sum()}.png"
    index = np.asarray(Image.open(tmp_path / "predictions" / "A" / name))
    assert index.shape == (12, 16) and set(np.unique(index)) == {0, 1}
    assert Image.open(tmp_path / "predictions_overlays" / "A" / name).width == 16
