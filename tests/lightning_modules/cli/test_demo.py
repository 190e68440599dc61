"""`mutualformer demo`: what it cannot serve is said in a line; Ctrl+C ends it in good order."""

import json
import os
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from exports import write_export
from forked_command import Forked

from lightning_modules.main import main

pytest.importorskip("flask", reason="flask is not installed")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("demo") / "export")


def error_of(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which must fail as a mistake of the user; returns its message."""
    with pytest.raises(SystemExit) as error:
        main(["demo", *map(str, arguments)])
    assert error.value.code == 2
    (message,) = capfd.readouterr().err.splitlines()
    assert message.startswith("error: ")
    return message


def test_it_serves_until_it_is_interrupted(export: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def look_and_interrupt() -> None:
        def run() -> None:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
                        print(page.read().decode().partition("<h1>")[2][:200])
                        break
                except OSError:
                    time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=run).start()

    code, output = Forked(["demo", str(export), f"--port={port}"], look_and_interrupt).wait()
    assert code == 0, output
    first, *page = output.splitlines()
    assert first == f"Open http://127.0.0.1:{port} (Ctrl+C ends it)"
    assert str(export) in "".join(page) and "Traceback" not in output


def test_a_port_that_is_taken_or_none_is_named(
    export: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = error_of(capfd, export, f"--port={port}")
    assert f"127.0.0.1, port {port} cannot be listened on (Address already in use)" in message
    for port in ("-1", "65536", "http", ""):
        assert "expected an integer from 0 to 65535" in error_of(capfd, export, f"--port={port}")
    assert "203.0.113.1, port 8000 cannot be" in error_of(capfd, export, "--host=203.0.113.1")


def test_what_is_no_export_is_named(
    export: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "there is no folder" in error_of(capfd, tmp_path / "none")
    assert "there is no folder" in error_of(capfd, "owner/name")
    assert "holds no config.json" in error_of(capfd, tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").touch()
    message = error_of(capfd, run)
    assert f"mutualformer export {run}, then mutualformer demo {run / 'export'}" in message
    onnx = tmp_path / "onnx"
    onnx.mkdir()
    config = json.loads((export / "config.json").read_text())
    (onnx / "config.json").write_text(json.dumps(config))
    assert "holds no model.safetensors" in error_of(capfd, onnx)
    (onnx / "model.safetensors").write_bytes((export / "model.safetensors").read_bytes())
    (onnx / "config.json").write_text(json.dumps({**config, "model": "own.Network"}))
    assert "is of 'own.Network'" in error_of(capfd, onnx)


@pytest.mark.parametrize(
    "changes",
    [
        {"label_map": {"classes": ["one"]}},
        {"label_map": {"classes": ["one", "two"]}},
        {"training": {"model": {"test_scales": "all"}}},
        {"training": {"model": {"test_window": 5}}},
    ],
)
def test_settings_of_a_stranger_that_make_no_sense_are_named(
    changes: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_export(tmp_path / "export", num_classes=3)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    assert f"{folder / 'config.json'}: " in error_of(capfd, folder)


def test_without_the_extra_the_message_names_it(
    export: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightning_modules.cli.demo.find_spec", lambda name: None)
    assert "pip install 'mutualformer[demo]'" in error_of(capfd, export)
