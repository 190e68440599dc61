"""What a tracked run has sent of its curves, so that a continued one sends all of it, and once.

W&B keeps what it is given in memory for a while, and loses that with a process that is killed; and
a run that continues from a checkpoint repeats, to the bit, what it did after it.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

# Repeated as often as a command is: its later scores are news.
_OF_EVALUATIONS = "test/"
_HEADER_SIZE = 7  # of W&B's files: what is no longer holds nothing


class SentRows:
    """The rows of a run's history, in a file beside it; the n-th one is W&B's step n.

    Args:
        path: of the file.

    Attributes:
        rows: the values by name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, float]] = []
        self._last: dict[str, float] = {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                row = json.loads(line)
                self._remember(row, row["step"])
            except (ValueError, KeyError, TypeError):
                continue  # cut by a kill

    @property
    def latest(self) -> int:
        """The latest step of which anything was sent."""
        return int(max(self._last.values(), default=0))

    def select_new(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """Return those of the values that have not been sent of this step, nor of a later one."""
        return {
            name: value
            for name, value in metrics.items()
            if name.startswith(_OF_EVALUATIONS) or step > self._last.get(name, -1)
        }

    def add(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep a row."""
        row = {**metrics, "step": step}
        self._remember(row, step)
        with self._path.open("ab") as file:
            file.write(b"\n" + json.dumps(row).encode())

    def _remember(self, row: dict[str, float], step: float) -> None:
        self.rows.append(row)
        self._last.update({name: step for name in row if name != "step"})


def remove_empty_parts(folder: Path) -> None:
    """Remove what a killed process left of W&B's files without a record: no sync gets past it."""
    for part in folder.glob("offline-run-*"):
        if all(file.stat().st_size <= _HEADER_SIZE for file in part.glob("*.wandb")):
            shutil.rmtree(part, ignore_errors=True)


def count_rows(folder: Path) -> int:
    """Return how many rows the offline parts of a run hold on disk."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    steps = {-1}
    for path in folder.glob("offline-run-*/*.wandb"):
        for content in _records(path.read_bytes()):
            try:
                record = Record.FromString(content)
            except Exception:  # protobuf's, of a record that was cut
                break
            if record.HasField("history"):
                steps.add(record.history.step.num)
    return max(steps) + 1


def _records(content: bytes) -> list[bytes]:
    """Return the records of a file in LevelDB's format."""
    records, record, at, block = [], b"", _HEADER_SIZE, 32768
    while at + 7 <= len(content):
        if block - at % block < 7:  # no header fits in the rest of a block
            at += block - at % block
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if at + 7 + length > len(content):
            break
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(record)
            record = b""
    return records
