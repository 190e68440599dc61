"""A height and a width through every command, and one spelling of a square."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from PIL import Image

from datamodules import RGBDSaliencyDataModule
from lightning_modules.main import main
from mutualformer import MutualFormerNetwork

CONFIG = Path(__file__).parents[1] / "tiny.yaml"
NETWORK = ["--model.network.fusion_strides=[32]"]


def error_of(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as error:
        main(["fit", f"--config={CONFIG}", *arguments])
    assert error.value.code == 2
    # Lightning may tell before of the seed and of devices: which test came first decides where to.
    *before, last = capfd.readouterr().err.splitlines()
    assert last.startswith("error: ") and "Traceback" not in "".join(before)
    return last


@pytest.mark.slow
def test_every_command_takes_a_height_and_a_width(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    overlay = tmp_path / "size.yaml"
    data = {
        **{"root": str(pairs), "train_sets": ["PAIRS"], "validation_fraction": 0.25},
        **{"image_size": [64, 96], "num_workers": 0, "batch_size": 2},
    }
    overlay.write_text(
        yaml.safe_dump(
            {"data": {"class_path": "datamodules.RGBDSaliencyDataModule", "init_args": data}}
        )
    )
    here = f"--trainer.default_root_dir={run}"
    assert main(["fit", f"--config={CONFIG}", f"--config={overlay}", here, *NETWORK]) == 0
    saved = f"--config={run / 'config.yaml'}"
    assert main(["test", saved, "--data.test_sets=[OTHERS]"]) == 0
    assert json.loads((run / "results.json").read_text())["num_images"] == {"OTHERS": 2}
    assert (run / "contact_sheet_train.png").exists()
    assert (run / "affinity_maps" / "OTHERS.png").exists()

    assert main(["predict", saved, f"--data.predict_root={pairs / 'OTHERS'}"]) == 0
    assert main(["export", str(run)]) == 0
    config = json.loads((run / "export" / "config.json").read_text())
    assert config["onnx"]["image_size"] == config["training"]["data"]["image_size"] == [64, 96]

    # What is exported computes, at this size, the maps that were predicted.
    module = RGBDSaliencyDataModule(
        predict_root=str(pairs / "OTHERS"), image_size=[64, 96], num_workers=0
    )
    module.setup("predict")
    (batch,) = module.predict_dataloader()
    batch = module.on_after_batch_transfer(batch, 0)
    assert batch["rgb"].shape == (2, 3, 64, 96)
    session = onnxruntime.InferenceSession(run / "export" / "model.onnx")
    inputs = {name: batch[name].numpy() for name in ("rgb", "depth")}
    (logits,) = session.run(["logits"], inputs)
    network = MutualFormerNetwork.from_pretrained(run / "export")
    with torch.no_grad():
        expected = network(batch["rgb"], batch["depth"])
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-4)
    shown = torch.nn.functional.interpolate(
        torch.from_numpy(logits).sigmoid(), (48, 64), mode="bilinear", align_corners=False
    )
    for index, name in enumerate(batch["name"]):
        written = np.asarray(Image.open(run / "predictions" / "OTHERS" / f"{name}.png"))
        assert np.abs(written / 255 - shown[index, 0].numpy()).max() < 0.02

    # The graph may be for another size, and says so.
    other = [f"--output={tmp_path / 'other'}", "--format=onnx", "--image-size=32,64"]
    assert main(["export", str(run), *other]) == 0
    assert json.loads((tmp_path / "other/config.json").read_text())["onnx"]["image_size"] == [
        32,
        64,
    ]


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("[64,96,3]", "image_size is [64, 96, 3], expected one whole number of pixels, or two"),
        ("[64]", "image_size is [64], expected one whole number"),
        ("[0,64]", "image_size is [0, 64], expected at least 32 pixels"),
        ("null", "image_size is None, expected one whole number"),
        ("[wide,64]", "image_size"),
        ("64x96", "image_size"),
        ("64,96", "image_size"),
        ("[64.5,96]", "image_size"),
    ],
)
def test_what_is_no_size_is_one_line(
    size: str, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    options = [f"--trainer.default_root_dir={run}", f"--data.image_size={size}"]
    assert words in error_of(capfd, *options)
    assert not run.exists()


def test_an_encoder_of_one_size_says_what_it_takes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = f"--trainer.default_root_dir={tmp_path / 'run'}"
    options = ["--model.network.encoder_name=tu-test_coatnet", "--data.image_size=[64,192]"]
    message = error_of(capfd, run, *options)
    assert "64 × 192 pixels (height × width), expected at most 160 × 160" in message
    assert not (tmp_path / "run" / "checkpoints").exists()
