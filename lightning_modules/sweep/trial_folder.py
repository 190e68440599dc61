"""What the folder of a trial tells about it. Importing this does not import torch."""

import csv
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import yaml

from datamodules.files import write_atomically
from lightning_modules.runs.results import (
    RESULTS_NAME,
    Results,
    ResultsError,
    read_results,
)
from lightning_modules.runs.yaml_text import load_yaml
from lightning_modules.runs.zip_checksums import describe_damage
from lightning_modules.sweep.trial_lock import lock_holder

LOG_NAME = "trial.log"
_FAILURE_NAME = "failure.json"
KEY_SCORES = {"s_measure": "S", "f_max": "max F", "e_max": "max E", "mae": "MAE"}


class TrialState(str, Enum):
    """Where a trial stands."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class Failure:
    """How the last attempt at a trial failed.

    Attributes:
        reason: in words.
        date: when, in ISO format.
    """

    reason: str
    date: str


def read_state(folder: Path) -> TrialState:
    """Tell the state of a trial; a results file that is damaged does not count."""
    if finished_results(folder) is not None:
        return TrialState.DONE
    if lock_holder(folder) is not None:
        return TrialState.RUNNING
    if read_failure(folder) is not None:
        return TrialState.FAILED
    return TrialState.INTERRUPTED if (folder / LOG_NAME).exists() else TrialState.WAITING


def finished_results(folder: Path) -> Results | None:
    """Return the results of a finished trial; None if there are none, or not whole."""
    try:
        return read_results(folder / RESULTS_NAME)
    except (FileNotFoundError, ResultsError):
        return None


def key_scores(results: Results) -> dict[str, float | None]:
    """Return the scores of a table column, each averaged over the test sets (None if undefined)."""
    scores: dict[str, float | None] = {}
    for name in KEY_SCORES:
        values = [dataset.get(name) for dataset in results.scores.values()]
        known = [value for value in values if value is not None]
        scores[name] = sum(known) / len(known) if len(known) == len(values) else None
    return scores


def write_failure(folder: Path, failure: Failure) -> None:
    """Record how an attempt failed."""
    text = json.dumps({"reason": failure.reason, "date": failure.date}) + "\n"
    write_atomically(folder / _FAILURE_NAME, lambda file: file.write(text.encode()))


def read_failure(folder: Path) -> Failure | None:
    """Return how the last attempt failed; None if it did not."""
    try:
        content = json.loads((folder / _FAILURE_NAME).read_bytes())
        return Failure(str(content["reason"]), str(content["date"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Failure("unknown", "unknown")


def clear_failure(folder: Path) -> None:
    """Forget an earlier failure."""
    (folder / _FAILURE_NAME).unlink(missing_ok=True)


def usable_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to continue from: the last one, else the best one, else None.

    One that was cut while it was being written is deleted: a training would neither continue from
    it nor start beside it.
    """
    for name in ("last.ckpt", "best.ckpt"):
        path = folder / "checkpoints" / name
        if path.is_file() and describe_damage(path):
            path.unlink()
    for name in ("last.ckpt", "best.ckpt"):
        path = folder / "checkpoints" / name
        if path.is_file():
            return path
    return None


def read_progress(folder: Path) -> str:
    """Say how far a training is, such as ``epoch 2 of 4``; empty if its logs do not tell."""
    try:
        config = load_yaml((folder / "config.yaml").read_bytes())
        tables = sorted(folder.glob("logs/*/metrics.csv"), key=lambda path: path.stat().st_mtime)
        with tables[-1].open(newline="") as file:
            epochs = [int(row["epoch"]) for row in csv.DictReader(file) if row.get("epoch")]
        return f"epoch {epochs[-1] + 1} of {config['trainer']['max_epochs']}"
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, csv.Error):
        return ""


def end_of_log(folder: Path, num_lines: int = 20) -> str:
    """Return the last lines that a trial printed."""
    try:
        with (folder / LOG_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 100_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    # A progress bar rewrites its line.
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join([line for line in lines if line][-num_lines:])
