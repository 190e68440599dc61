"""Runs of the real command, tracked by a W&B that knows no key and no user."""

import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from lightning_modules.main import main

sys.path.insert(0, str(Path(__file__).parent))
from wandb_server import WandbServer  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]
TINY = REPOSITORY / "tests" / "lightning_modules" / "tiny.yaml"
OVERLAY = REPOSITORY / "experiments" / "overlays" / "wandb.yaml"


def pytest_collection_modifyitems():
    pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path, monkeypatch):
    """Hide the keys and settings of whoever runs the tests, and forget them in W&B."""
    import wandb

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / ".netrc"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def track():
    """Run a command on the tiny experiment with the W&B overlay."""

    def run(command, folder, *options):
        configs = ["--config", str(TINY), "--config", str(OVERLAY)]
        return main([command, *configs, "--trainer.default_root_dir", str(folder), *options])

    return run


@pytest.fixture
def read_records():
    """Read the records that W&B keeps of a run: LevelDB's log format, with protobuf inside."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    def read(path):
        wandb.teardown()  # its service writes the last records after the run is finished
        content, position, records, record = path.read_bytes(), 7, [], b""
        while position + 7 <= len(content):
            if 32768 - position % 32768 < 7:  # no header fits in the rest of a block
                position += 32768 - position % 32768
                continue
            length, kind = struct.unpack("<HB", content[position + 4 : position + 7])
            record += content[position + 7 : position + 7 + length]
            position += 7 + length
            if kind in (1, 4):  # whole, or the last part
                records.append(Record.FromString(record))
                record = b""
        return records

    return read


@pytest.fixture(scope="session")
def wandb_server(tmp_path_factory):
    """A W&B server of the session's own."""
    pytest.importorskip("openwandb", reason="openwandb, a W&B server, is not installed")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = WandbServer(tmp_path_factory.mktemp("wandb_server"), port)
    yield server
    server.stop()
