"""`mutualformer export`: what it writes computes what was trained; a failure leaves nothing."""

import importlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from lightning_modules.cli.export import _describe_training
from lightning_modules.main import main
from lightning_modules.runs.onnx_graph import write_onnx
from mutualformer import MutualFormerNetwork, __version__
from mutualformer.fusions.spelling import read_fusion
from mutualformer.ops.cross_diffusion.stored import cross_diffusion_stored

CONFIG = Path(__file__).parents[1] / "tiny.yaml"
# Few nodes, because translating them is what takes the time.
SMALL = {"share_encoder": True, "fusion_strides": [32], "decoder_name": "segformer"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = [f"--model.network.{name}={value}" for name, value in SMALL.items()]
    assert (
        main(["fit", f"--config={CONFIG}", f"--trainer.default_root_dir={folder}", *options]) == 0
    )
    return folder


@pytest.fixture
def run_folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "checkpoints", tmp_path / "run" / "checkpoints")
    return tmp_path / "run"


def error_of(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the export, which must fail as a mistake of the user; returns its message."""
    with pytest.raises(SystemExit) as error:
        main(["export", *map(str, arguments)])
    assert error.value.code == 2
    (message,) = capfd.readouterr().err.splitlines()
    assert message.startswith("error: ")
    return message


def best_weights(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_a_run_is_exported_and_used_without_lightning(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run_folder)]) == 0
    assert "logits differ from PyTorch's by at most" in capsys.readouterr().out
    folder = run_folder / "export"
    names = ["README.md", "config.json", "model.onnx", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names

    config = json.loads((folder / "config.json").read_text())
    assert config["version"] == config["training"]["version"] == __version__
    assert config["training"]["checkpoint"] == "best.ckpt"
    assert config["training"]["data"] == {"image_size": 64}
    assert config["training"]["seed"] == 0
    for git in (config["git"], config["training"]["git"]):
        assert git is None or len(git["commit"]) == 40
    assert str(run_folder.parent) not in json.dumps(config)

    network = MutualFormerNetwork.from_pretrained(folder)
    weights = best_weights(run_folder)
    state = network.state_dict()
    assert len(state) == len(weights)
    assert all(torch.equal(weights[f"network.{name}"], value) for name, value in state.items())

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    for batch_size in (1, 5):
        pair = torch.rand(batch_size, 3, 64, 64), torch.rand(batch_size, 1, 64, 64)
        (logits,) = session.run(None, {"rgb": pair[0].numpy(), "depth": pair[1].numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, network(*pair).numpy(), atol=1e-4)

    program = (
        "import sys; from mutualformer import MutualFormerNetwork\n"
        "MutualFormerNetwork.from_pretrained(sys.argv[1])\n"
        "assert not {'lightning', 'lightning_modules'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True)


def test_a_checkpoint_is_exported_where_one_says_to(run_folder: Path, tmp_path: Path) -> None:
    last = run_folder / "checkpoints" / "last.ckpt"
    output = tmp_path / "new" / "folder"
    assert main(["export", str(last), f"--output={output}", "--format=safetensors"]) == 0
    assert sorted(x.name for x in output.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert json.loads((output / "config.json").read_text())["training"]["checkpoint"] == "last.ckpt"


def test_what_cannot_be_exported_is_said_and_nothing_is_written(
    run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    last = run_folder / "checkpoints" / "last.ckpt"
    before = sorted(tmp_path.rglob("*"))
    assert "no such folder or file" in error_of(capfd, tmp_path / "nowhere")
    assert "is a checkpoint, expected --output FOLDER" in error_of(capfd, last)
    assert "exists already: delete it" in error_of(capfd, run_folder, "--output", tmp_path)
    assert "expected an integer >= 1" in error_of(capfd, run_folder, "--image-size=0")
    for size in ("64,0", "64,96,3", "64x96", "-64", "64,", "large"):
        assert f"{size!r}, expected an integer >= 1, or two" in error_of(
            capfd, run_folder, f"--image-size={size}"
        )
    assert "train first with mutualformer fit" in error_of(capfd, tmp_path)
    for path in (CONFIG, Path(__file__)):
        assert f"checkpoint {path} cannot be read" in error_of(
            capfd, path, "--output", tmp_path / "new"
        )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_named(
    run_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A folder below a file: root, who may run the tests, could write into a read-only one.
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "export"
    message = error_of(capfd, run_folder, "--output", output, "--format=safetensors")
    assert f"{output} cannot be written: Not a directory" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"provenance": {"version": "0.99.1"}}, "was written by mutualformer 0.99.1, and this is"),
        ({"provenance": {"version": "new"}}, "names no version"),
        ({"state_dict": [1]}, "is not a checkpoint of mutualformer fit"),
        ({"state_dict": {}}, "does not fit its own settings"),
        ({"hyper_parameters": {}}, "does not hold a mutualformer.MutualFormerNetwork"),
        (
            {"hyper_parameters": {"network": {"class_path": "torch.nn.Linear"}}},
            "does not hold a mutualformer.MutualFormerNetwork",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    changes: dict[str, Any], words: str, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    best = run_folder / "checkpoints" / "best.ckpt"
    torch.save({**torch.load(best, weights_only=True), **changes}, best)
    assert words in error_of(capfd, run_folder, "--format=safetensors")
    assert not (run_folder / "export").exists()


@pytest.mark.slow
def test_a_graph_that_computes_something_else_is_not_kept(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def wrong(*arguments: Any) -> Any:
        return [2 * x for x in cross_diffusion_stored(*arguments)]

    # By import, since the package's name is that of its function too.
    module = importlib.import_module("mutualformer.ops.cross_diffusion.cross_diffusion")
    monkeypatch.setattr(module, "cross_diffusion_stored", wrong)
    message = error_of(capfd, run_folder)
    assert "computes other logits than PyTorch: they differ by" in message
    assert [path.name for path in run_folder.iterdir()] == ["checkpoints"]


def test_without_the_extra_the_message_names_it(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightning_modules.cli.export.find_spec", lambda name: None)
    assert "pip install 'mutualformer[export]'" in error_of(capfd, run_folder)
    assert main(["export", str(run_folder), "--format=safetensors"]) == 0


@pytest.mark.parametrize(
    ("given", "root", "expected"),
    [
        (None, "data/NYUDepthv2", True),
        (None, "data/mine", False),
        (False, "data/NYUDepthv2", False),
    ],
)
def test_an_export_says_what_predictions_depend_on(
    given: bool | None, root: str, expected: bool
) -> None:
    data = {"root": root, "near_dark": given, "rotated_bits": True, "image_size": [64, 64]}
    checkpoint = {
        "provenance": {"config": {"data": {"init_args": data}}},
        "hyper_parameters": {"test_scales": [1.0, 1.5], "test_flip": True, "loss": "bce"},
    }
    found = _describe_training(checkpoint, Path("best.ckpt"))
    assert found["data"] == {"near_dark": expected, "rotated_bits": True, "image_size": 64}
    assert found["model"] == {"test_scales": [1.0, 1.5], "test_flip": True}


@pytest.fixture
def files_up_to_64_kib(run_folder: Path) -> Iterator[None]:
    """Let writes fail beyond that, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("files_up_to_64_kib")
@pytest.mark.parametrize("kind", ["safetensors", "onnx"])
def test_nothing_is_left_when_the_disk_is_full(
    kind: str, run_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    message = error_of(capfd, run_folder, f"--format={kind}")
    assert f"{run_folder / 'export'} cannot be written: File too large" in message
    assert [path.name for path in run_folder.iterdir()] == ["checkpoints"]


# "sum" and "depth" are made of the same parts as others here.
FUSIONS = {
    **{name: {"name": name, "num_heads": 2} for name in ("concat", "cross_attention", "rgb")},
    "release": {"num_heads": 2, "variant": "release"},
    "symmetric": {
        **{"num_heads": 2, "affinity": "symmetric", "initial_affinity": "cross"},
        **{"num_iterations": 2, "kernel_size": 3},
    },
    "inf": {
        **{"num_heads": 2, "num_iterations": "inf"},
        **{"epsilon": 0.1, "initial_affinity": "average"},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSIONS)
def test_every_fusion_becomes_a_graph(name: str, tmp_path: Path) -> None:
    network = MutualFormerNetwork(
        "tu-test_efficientnet",
        **SMALL,
        fusion=read_fusion(FUSIONS[name]),
        fusion_dim=16,
        decoder_dim=32,
        depth_channels=3,
    )
    # 70 is no multiple of 32: padding and cropping are in the graph too.
    about = write_onnx(network.eval(), tmp_path / "model.onnx", (70, 96))
    assert about["max_difference"] <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    read = {"rgb": ["rgb"], "depth": ["depth"]}.get(name, ["rgb", "depth"])
    assert [x.name for x in session.get_inputs()] == read
    assert session.get_inputs()[-1].shape[1:] == [3, 70, 96]
