"""Fusions that read one modality, through every command without the other."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from lightning_modules.main import main
from mutualformer import MutualFormerNetwork
from mutualformer.errors import UserError
from mutualformer.fusions import Fusion

CONFIG = Path(__file__).parents[1] / "tiny.yaml"
SMALL = [
    f"--config={CONFIG}",
    "--model.network.fusion_strides=[32]",
    "--data=datamodules.RGBDSaliencyDataModule",
    "--data.image_size=64",
    "--data.num_workers=0",
]


class DepthAsItIs(Fusion):
    """A user's own, which says what it reads."""

    modalities = ("depth",)

    def __init__(self, dim: int) -> None:
        super().__init__()

    def fuse(self, tokens_rgb, tokens_depth, spatial_size):
        assert tokens_rgb is None
        return tokens_depth


class ReadsWhatIsNot(DepthAsItIs):
    modalities = "depth"  # type: ignore[assignment]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with a data set of six pairs, `mine`."""
    generator = np.random.default_rng(0)
    for number in range(6):
        mask = np.zeros((40, 50), np.uint8)
        mask[10:30, 12:36] = 255
        images = {
            "RGB": generator.integers(0, 256, (40, 50, 3), np.uint8),
            "depth": generator.integers(0, 256, (40, 50), np.uint8),
            "GT": mask,
        }
        for name, image in images.items():
            (tmp_path / "data/mine" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "data/mine" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "read", "unread"),
    [
        ("--model.network.fusion.name=rgb", "rgb", "depth"),
        (f"--model.network.fusion={__name__}.DepthAsItIs", "depth", "RGB"),
    ],
)
def test_every_command_needs_what_is_read_alone(
    data: Path, tmp_path: Path, fusion: str, read: str, unread: str, request: pytest.FixtureRequest
) -> None:
    shutil.rmtree(data / "mine" / unread)
    run = tmp_path / "run"
    here = [f"--trainer.default_root_dir={run}", f"--data.root={data}"]
    assert main(["fit", *SMALL, *here, fusion, "--data.train_sets=[mine]"]) == 0
    saved = [f"--config={run / 'config.yaml'}"]
    assert main(["validate", *saved]) == 0
    assert main(["test", *saved, "--data.test_sets={other: mine}"]) == 0
    assert json.loads((run / "results.json").read_text())["scores"]["other"]["mae"] < 1

    shutil.rmtree(data / "mine" / "GT")
    assert main(["predict", *saved, f"--data.predict_root={data / 'mine'}"]) == 0
    maps = run / "predictions" / "mine"
    assert len(list(maps.iterdir())) == 6
    file = next((data / "mine").glob("*/3.png"))
    one = tmp_path / "one"
    options = [f"--data.predict_{read}={file}", f"--predictions.output_dir={one}"]
    assert main(["predict", *saved, *options]) == 0
    np.testing.assert_array_equal(
        np.asarray(Image.open(one / "mine" / "3.png")), np.asarray(Image.open(maps / "3.png"))
    )

    assert main(["export", str(run), f"--import={__name__}"]) == 0
    config = json.loads((run / "export" / "config.json").read_text())
    assert config["inputs"].keys() == {read, "normalization"}
    network = MutualFormerNetwork.from_pretrained(run / "export")
    image = torch.rand(3, 3 if read == "rgb" else 1, 64, 64)
    logits = network(**{read: image})
    session = onnxruntime.InferenceSession(run / "export" / "model.onnx")
    (graph,) = session.run(["logits"], {read: image.numpy()})
    np.testing.assert_allclose(graph, logits.detach(), atol=1e-4)


def test_a_pair_by_two_names_with_a_fusion_of_both(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    here = [f"--trainer.default_root_dir={run}", f"--data.root={data}"]
    assert main(["fit", *SMALL, *here, "--data.train_sets=[mine]", "--trainer.max_steps=1"]) == 0
    rgb, depth = (tmp_path / name for name in ("photo.png", "disparity.png"))
    shutil.copy(data / "mine/RGB/2.png", rgb)
    shutil.copy(data / "mine/depth/2.png", depth)
    saved = [f"--config={run / 'config.yaml'}"]
    pair = [f"--data.predict_rgb={rgb}", f"--data.predict_depth={depth}"]
    assert main(["predict", *saved, *pair]) == 0
    assert main(["predict", *saved, f"--data.predict_root={data / 'mine'}"]) == 0
    maps = run / "predictions"
    np.testing.assert_array_equal(
        np.asarray(Image.open(maps / tmp_path.name / "photo.png")),
        np.asarray(Image.open(maps / "mine" / "2.png")),
    )


def test_a_fusion_must_say_which_of_the_two_it_reads() -> None:
    with pytest.raises(UserError, match="ReadsWhatIsNot.modalities is 'depth', expected"):
        MutualFormerNetwork("tu-test_efficientnet", fusion=ReadsWhatIsNot, fusion_dim=16)


def test_a_network_without_the_image_that_it_reads() -> None:
    network = MutualFormerNetwork("tu-test_efficientnet", fusion=DepthAsItIs, fusion_dim=16).eval()
    depth = torch.rand(1, 1, 64, 64)
    assert network(depth=depth).shape == (1, 1, 64, 64)
    words = r"depth is None; expected \(B, 1, H, W\): .* reads depth; one that does not is .* rgb"
    with pytest.raises(UserError, match=words):
        network(torch.rand(1, 3, 64, 64))
