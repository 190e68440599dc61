"""Networks saved and loaded again: from a folder, from a hub, and from what is neither."""

import functools
import http.server
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import mutualformer
from mutualformer import MutualFormerBlock, MutualFormerNetwork

OPTIONS: dict[str, Any] = {
    "encoder_name": "resnet18",
    "share_encoder": True,
    "fusion": functools.partial(
        MutualFormerBlock, num_heads=2, epsilon=0.3, num_iterations=math.inf
    ),
    "feed_back": True,
    "fusion_parameters": 20_000,
    "fusion_strides": (32, 16),
    "fusion_dim": 16,
    "decoder_name": "segformer",
    "decoder_dim": 32,
    "depth_channels": 3,
    "num_classes": 4,
}


@pytest.fixture(scope="module")
def network() -> MutualFormerNetwork:
    return MutualFormerNetwork(**OPTIONS).eval()


@pytest.fixture(scope="module")
def saved(network: MutualFormerNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "network"
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every attempt to reach the hub fail the test."""
    monkeypatch.setattr(
        "mutualformer.network.hub.is_reachable", lambda: pytest.fail("the network was asked for")
    )


def change(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_loaded_computes_what_was_saved(network: MutualFormerNetwork, saved: Path) -> None:
    loaded = MutualFormerNetwork.from_pretrained(saved)
    assert not loaded.training
    assert loaded.settings == network.settings
    assert set(network.settings) == {*OPTIONS}  # every option is kept
    pair = torch.rand(2, 3, 50, 70), torch.rand(2, 3, 50, 70)
    assert torch.equal(loaded(*pair), network(*pair))
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]


def test_the_settings_of_an_earlier_version_are_read(
    network: MutualFormerNetwork, copy: Path
) -> None:
    record = {  # of all fusions together, written by 0.1.0 before each had its own
        **{"name": "mutualformer", "num_heads": 2, "epsilon": 0.3, "num_iterations": "inf"},
        **{"initial_affinity": "identity", "affinity": "softmax", "attention_dropout": 0.0},
        **{"variant": "paper", "mlp_ratio": 4.0, "qkv_bias": True, "kernel_size": 1},
        **{"dropout": 0.0, "drop_path": 0.0, "backend": "auto"},
    }
    change(copy, network={**network.settings, "fusion": record})
    assert MutualFormerNetwork.from_pretrained(copy).settings == network.settings
    other = {**record, "name": "concat"}
    former = {**network.settings, "feed_back": False}  # which there was not
    settings = MutualFormerNetwork.from_settings({**former, "fusion": other}).settings
    assert set(settings["fusion"]["init_args"]) == {
        *("num_heads", "mlp_ratio", "qkv_bias", "kernel_size", "dropout", "drop_path")
    }
    with pytest.raises(ValueError, match="unexpected keyword argument 'epsilon'"):
        other.pop("variant")
        MutualFormerNetwork.from_settings({**former, "fusion": other})


def test_a_folder_may_be_given_as_text_and_relative(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(saved.parent.parent)
    MutualFormerNetwork.from_pretrained(f"{saved.parent.name}/network")


def test_nothing_is_overwritten(network: MutualFormerNetwork, copy: Path) -> None:
    before = (copy / "config.json").read_bytes()
    with pytest.raises(ValueError, match="exists already: delete it, or choose another folder"):
        network.save_pretrained(copy)
    assert (copy / "config.json").read_bytes() == before


def test_nothing_is_left_of_what_cannot_be_written(
    network: MutualFormerNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        network.save_pretrained(tmp_path / "file" / "folder")
    network_with_other_settings = MutualFormerNetwork("resnet18", fusion_dim=16, decoder_dim=32)
    network_with_other_settings.settings["fusion_dim"] = object()
    with pytest.raises(TypeError):
        network_with_other_settings.save_pretrained(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "ResNet"}, "is of 'ResNet', expected a configuration of MutualFormerNetwork"),
        ({"version": "99.0.0"}, "was written by mutualformer 99.0.0, and this is"),
        ({"version": None}, "names no version"),
        ({"network": []}, "holds no settings of the network"),
        ({"network": {"fusion_dim": "wide"}}, "config.json: these settings make no network"),
        ({"network": {"num_layers": 3}}, "unexpected keyword argument 'num_layers'"),
        ({"network": {"encoder_weights": "imagenet"}}, "encoder_weights"),
        ({"network": {"encoder_name": "tu-hf-hub:someone/model"}}, "timm has no model"),
        ({"network": {"encoder_name": "timm-nothing"}}, "these settings make no network"),
        ({"network": {"fusion": {"epsilon": 1}}}, "epsilon is 1, expected"),
        ({"network": {"fusion": "mean"}}, "fusion is mean, expected one of mutualformer"),
        ({"network": {"fusion": {"name": "os.system"}}}, "imported already"),
        ({"network": {"fusion": []}}, "fusion is [], expected a name, or class_path and init_args"),
    ],
)
def test_a_foreign_configuration_is_refused(
    changes: dict[str, Any], words: str, copy: Path
) -> None:
    change(copy, **changes)
    with pytest.raises(ValueError, match=re.escape(words)):
        MutualFormerNetwork.from_pretrained(copy)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100000, b"[]"])
def test_a_damaged_configuration_is_named(content: bytes, copy: Path) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (cannot be read|is of 'list')"):
        MutualFormerNetwork.from_pretrained(copy)


@pytest.mark.parametrize("length", [0, 4, 1000, 100000, -1])
def test_cut_weights_are_named(length: int, copy: Path) -> None:
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read"):
        MutualFormerNetwork.from_pretrained(copy)


def test_weights_of_another_network_are_told_by_what_differs(
    network: MutualFormerNetwork, copy: Path
) -> None:
    change(copy, network={**network.settings, "fusion_dim": 32})
    with pytest.raises(ValueError, match=r"shape \(.* is \(16, 256, 1, 1\) there and \(32, 256"):
        MutualFormerNetwork.from_pretrained(copy)
    change(copy, network=network.settings)
    state = network.state_dict()
    state["more"] = state.pop("head.bias")
    save_file(state, copy / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"1 is missing \(head.bias\), 1 is unknown \(more\). Keep the two files"
    ):
        MutualFormerNetwork.from_pretrained(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_one_of_the_files_says_which(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(ValueError, match=f"holds no {name}, expected a folder that mutualformer"):
        MutualFormerNetwork.from_pretrained(copy)


@pytest.mark.parametrize("source", ["nowhere", "./a/b", "a/b/c", "~/a", "/a/b", "", Path("a/b")])
def test_what_is_no_repository_is_not_looked_for_on_the_hub(source: str | Path) -> None:
    with pytest.raises(ValueError, match="there is no folder|a path is empty"):
        MutualFormerNetwork.from_pretrained(source)


class Hub(http.server.SimpleHTTPRequestHandler):
    """As much of the hub as downloading a file takes, over the folders in a directory."""

    def translate_path(self, path: str) -> str:
        owner, name, _, _, file = path.strip("/").split("/")
        return super().translate_path(f"{owner}/{name}/{file}")

    def end_headers(self) -> None:
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hash(self.path):x}"')
        super().end_headers()

    def do_HEAD(self) -> None:
        if self.path.count("/") == 5:
            super().do_HEAD()
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        if self.path.count("/") == 5:
            super().do_GET()
        else:
            self.send_error(404)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(saved: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    handler = functools.partial(Hub, directory=str(saved.parent.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load_in_another_process(*sources: str, **environment: str) -> list[str]:
    """Return the width of each of the networks, or why it cannot be had."""
    program = (
        "import sys; from mutualformer import MutualFormerNetwork\n"
        "for source in sys.argv[1:]:\n"
        "    try: print(MutualFormerNetwork.from_pretrained(source).settings['fusion_dim'])\n"
        "    except ValueError as error: print(error)"
    )
    root = Path(mutualformer.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), **environment}
    environment = {k: v for k, v in environment.items() if not k.lower().endswith("_proxy")}
    result = subprocess.run(
        [sys.executable, "-c", program, *sources], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_repository_is_downloaded_and_then_needs_no_network(
    hub: http.server.ThreadingHTTPServer, saved: Path, tmp_path: Path
) -> None:
    source = f"{saved.parent.name}/network"
    online = {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
    }
    had, missed = load_in_another_process(source, "someone/nothing", **online)
    assert had == "16"
    assert "it cannot be had as a repository from http://127.0.0.1" in missed
    offline = {**online, "HF_HUB_OFFLINE": "1"}
    had, missed = load_in_another_process(source, "someone/nothing", **offline)
    assert had == "16"
    assert "(no answer). Check the name; offline, give the folder" in missed
