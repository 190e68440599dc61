"""A real W&B server on the loopback, and what it knows of a run."""

import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

KEY = "local" + "0" * 40


class TrackedRun(NamedTuple):
    """What the server holds of a run: its row, its values by name as (step, value), its files."""

    row: dict[str, Any]
    history: dict[str, list[tuple[int, float]]]
    files: set[str]
    artifacts: set[tuple[str, str]]


class WandbServer:
    """openwandb, in a process and a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        url = f"http://127.0.0.1:{port}"
        self.environment = {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY}
        program = Path(sys.executable).parent / "openwandb"
        arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder)]
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [str(program), *arguments], stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url, timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self._process.poll() is None, "no server"
                time.sleep(0.2)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()

    def read_run(self, run_id: str) -> TrackedRun:
        """Return what the server holds, which must be one run of this id."""
        with sqlite3.connect(self.folder / "openwandb.db") as database:
            database.row_factory = sqlite3.Row
            (row,) = database.execute("select * from runs where run_id = ?", [run_id]).fetchall()
            history: dict[str, list[tuple[int, float]]] = {}
            query = "select key, step, value from metrics where run_id = ? order by id"
            for name, step, value in database.execute(query, [run_id]):
                history.setdefault(name, []).append((step, value))
            files = {
                x for (x,) in database.execute("select name from files where run_id=?", [run_id])
            }
            query = "select name, artifact_type from artifacts where run_id = ?"
            artifacts = {tuple(x) for x in database.execute(query, [run_id])}
        row = {name: row[name] for name in row.keys()}  # noqa: SIM118
        for name in ("config_json", "summary_json", "tags_json"):
            row[name] = json.loads(row[name])
        return TrackedRun(row, history, files, artifacts)
