"""A key without a network, or with a server that is of no use: never a long wait."""

import http.server
import socket
import threading
import time

import pytest

from lightning_modules.tracking.offline import answers

KEY = "0" * 40


@pytest.fixture
def silent_server():
    """Accept connections and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing_server():
    """Answer every request with 403, as W&B answers a wrong key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def closed_port():
    """A port that nobody listens to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_any_answer_is_an_answer(refusing_server):
    assert answers(refusing_server)


@pytest.mark.parametrize("address", ["closed_port", "silent_server"])
def test_no_answer_is_noticed_in_time(address, request):
    start = time.perf_counter()
    assert not answers(request.getfixturevalue(address), timeout=0.5)
    assert time.perf_counter() - start < 2


def test_what_is_no_address_does_not_answer():
    assert not answers("nowhere")


@pytest.mark.parametrize("address", ["closed_port", "silent_server", "refusing_server"])
def test_a_run_with_a_key_goes_offline_within_seconds(
    address, request, track, tmp_path, monkeypatch, caplog
):
    url = request.getfixturevalue(address)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    start = time.perf_counter()
    assert track("fit", tmp_path / "run") == 0
    # Of which training takes about 3.
    assert time.perf_counter() - start < 20
    said = caplog.text
    assert "The run is kept offline" in said
    assert "Upload it with: wandb sync" in said
    (part,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert (part / "files" / "media" / "images").is_dir()
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()


def test_a_key_in_netrc_is_found(tmp_path, monkeypatch, closed_port, track, caplog):
    netrc = tmp_path / "keys"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("WANDB_BASE_URL", closed_port)
    assert track("fit", tmp_path / "run", "--trainer.limit_train_batches=1") == 0
    assert f"{closed_port} does not answer" in caplog.text
