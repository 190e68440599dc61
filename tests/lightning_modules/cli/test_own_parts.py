"""A network or a fusion of the user's, by class path: trained, tested, exported, or refused."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import own_parts
import pytest
import torch
from safetensors.torch import load_file

from lightning_modules.main import main
from mutualformer import MutualFormerNetwork

CONFIG = Path(__file__).parents[1] / "tiny.yaml"
OWN_NETWORK = ["--model.network=own_parts.TwoLayers", "--model.network.width=5"]
OWN_FUSION = [
    *("--model.network.fusion=own_parts.WeightedSum", "--model.network.fusion.start=0.25"),
    *("--model.network.share_encoder=true", "--model.network.fusion_strides=[32]"),
]


def run(command: str, folder: Path, *options: str) -> int:
    return main([command, f"--config={CONFIG}", f"--trainer.default_root_dir={folder}", *options])


def error_of(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        main([*arguments])
    (message,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("error: ")]
    return message


@pytest.fixture(scope="module")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "network"
    assert run("fit", folder, *OWN_NETWORK) == 0
    return folder


@pytest.fixture(scope="module")
def own_fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "fusion"
    assert run("fit", folder, *OWN_FUSION) == 0
    return folder


def test_a_network_of_one_s_own_is_continued_tested_and_predicts(own_network: Path) -> None:
    config = f"--config={own_network / 'config.yaml'}"
    assert main(["fit", config]) == 0
    assert main(["test", config]) == 0
    scores = json.loads((own_network / "results.json").read_text())["scores"]["synthetic"]
    assert 0 < scores["s_measure"] < 1
    assert main(["predict", config]) == 0
    assert len(list((own_network / "predictions" / "synthetic").glob("*.png"))) == 5


def test_a_network_of_one_s_own_is_exported_if_its_module_is_named(
    own_network: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = own_network.parent / "exported"
    arguments = ["export", str(own_network), f"--output={output}"]
    assert "own_parts.TwoLayers, expected that" in error_of(capfd, *arguments)
    assert "No module named 'nowhere'" in error_of(capfd, *arguments, "--import=nowhere")
    assert not output.exists()
    assert main([*arguments, "--import=own_parts"]) == 0
    config = json.loads((output / "config.json").read_text())
    assert config["model"] == "own_parts.TwoLayers"
    network = own_parts.TwoLayers(width=5)
    network.load_state_dict(load_file(output / "model.safetensors"))
    rgb, depth = torch.rand(3, 3, 64, 64), torch.rand(3, 1, 64, 64)
    session = onnxruntime.InferenceSession(output / "model.onnx")
    (logits,) = session.run(["logits"], {"rgb": rgb.numpy(), "depth": depth.numpy()})
    np.testing.assert_allclose(logits, network(rgb, depth).detach().numpy(), atol=1e-4)


def test_a_fusion_of_one_s_own_is_tested_and_exported(own_fusion: Path) -> None:
    assert main(["test", f"--config={own_fusion / 'config.yaml'}"]) == 0
    arguments = ["export", str(own_fusion), "--format=safetensors", "--import=own_parts"]
    assert main(arguments) == 0
    network = MutualFormerNetwork.from_pretrained(own_fusion / "export")
    (block,) = network.blocks.values()
    assert isinstance(block, own_parts.WeightedSum)
    assert block.settings["init_args"] == {"start": 0.25, "slope": 1.0}


def test_a_network_may_take_options_that_its_signature_does_not_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    network = "--model.network={class_path: own_parts.AnyOptions, dict_kwargs: {width: 3}}"
    with pytest.raises(SystemExit, match="0"):
        main(["fit", f"--config={CONFIG}", network, "--print_config"])
    assert "width: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network=own_parts.Nothing"], "own_parts.Nothing"),
        (["--model.network=nowhere.Network"], "nowhere"),
        (["--model.network=json.JSONDecoder"], "json.JSONDecoder"),
        (["--model.network=own_parts.TwoLayers"], "width"),
        ([*OWN_NETWORK, "--model.network.depth=3"], "depth"),
        ([*OWN_NETWORK, "--model.network.out_channels=2"], "(1, 2, 64, 64), expected"),
        ([*OWN_NETWORK, "--model.network.stride=2"], "(1, 1, 32, 32), expected"),
        (
            ["--model.network.fusion=own_parts.TwoLayers"],
            "fusion is own_parts.TwoLayers, expected one of",
        ),
        (
            ["--model.network.fusion=own_parts.Nothing"],
            "own_parts.Nothing, which cannot be imported",
        ),
        (["--model.network.fusion=own_parts.WeightedSum"], "WeightedSum lacks start"),
        ([*OWN_FUSION, "--model.network.fusion.epsilon=0.5"], "has no option epsilon"),
        (["--model=own_parts.TwoLayers"], "own_parts.TwoLayers"),
        (["--data=own_parts.TwoLayers"], "own_parts.TwoLayers"),
    ],
)
def test_what_cannot_be_plugged_in_is_one_line_before_anything_is_written(
    options: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    assert words in error_of(capfd, "fit", f"--config={CONFIG}", folder, *options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.network.fusion_parameters=10"], "is 10, but MutualFormerBlock of width 16 has"),
        (
            ["--model.network.fusion.name=cmx", "--model.network.fusion.num_heads=8"]
            + ["--model.network.fusion_dim=20"],
            "expected a num_heads that divides dim: 1, 2, 4, 5, 10, 20 (of the fusion cmx)",
        ),
        (
            [*OWN_FUSION, "--model.network.fusion_parameters=20"],
            "WeightedSum of width 16 has 32 with no FFN, expected at least 31",
        ),
    ],
)
def test_a_fusion_that_cannot_be_built_is_named(
    options: list[str], words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = [f"--trainer.default_root_dir={tmp_path / 'run'}", *options]
    assert words in error_of(capfd, "fit", f"--config={CONFIG}", *options)
    assert not (tmp_path / "run").exists()
