"""The folder of a run: what its files are called, and what they tell about the run."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from datamodules.files import write_atomically
from lightning_modules.runs.results import Results, ResultsError, read_results
from lightning_modules.runs.yaml_text import load_yaml
from lightning_modules.runs.zip_checksums import describe_damage
from mutualformer.errors import UserError


@dataclass(frozen=True)
class Failure:
    """How the last attempt at a trial failed.

    Attributes:
        reason: in words.
        date: when, in ISO format.
    """

    reason: str
    date: str


class RunFolder:
    """Name the files of a run, a trial of a sweep included, and read its state.

    Args:
        path: the folder, ``trainer.default_root_dir``; it need not exist.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.config = path / "config.yaml"  # resolved, for every command
        self.code_diff = path / "code.diff"  # how the code differed from its commit
        self.checkpoints = path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best.ckpt"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.ending = path / "ended.json"  # how the training ended, if in good order
        self.logs = path / "logs"
        self.learning_curves = path / "learning_curves.png"
        self.non_finite_batch = path / "non_finite_batch.pt"
        self.results = path / "results.json"
        self.cost = path / "cost.json"
        self.robustness = path / "robustness.json"
        self.per_image_scores = path / "per_image_scores.csv"
        self.affinity_maps = path / "affinity_maps"
        self.predictions = path / "predictions"
        self.export = path / "export"
        self.wandb = path / "wandb"
        self.wandb_run_id = path / "wandb_run_id.txt"
        self.wandb_rows = path / "wandb_rows.jsonl"
        # What a trial of a sweep adds:
        self.trial_settings = path / "trial.json"
        self.trial_log = path / "trial.log"
        self.failure = path / "failure.json"
        self.lock = path / ".lock"

    def contact_sheet(self, stage: str) -> Path:
        """Return the page of samples of ``train``, ``test`` or ``predict``."""
        return self.path / f"contact_sheet_{stage}.png"

    def find_checkpoint(self) -> Path:
        """Return the best checkpoint, or the last one of a run without validation.

        Raises:
            UserError: there is none.
        """
        for path in (self.best_checkpoint, self.last_checkpoint):
            if path.exists():
                return path
        raise UserError(
            f"no checkpoint in {self.checkpoints}: train first with mutualformer fit, or give one "
            "with --ckpt_path (to export: in place of the folder)"
        )

    def named_checkpoint(self, name: str) -> Path:
        """Return the checkpoint that Lightning's words ``best`` and ``last`` mean, or a path.

        Raises:
            UserError: the run has no such checkpoint.
        """
        paths = {"best": self.best_checkpoint, "last": self.last_checkpoint}
        path = paths.get(name)
        if path is None:
            return Path(name)
        if path.exists():
            return path
        there = [other for other in paths.values() if other.exists()]
        instead = f"give {there[0]}" if there else "train first with mutualformer fit"
        raise UserError(f"--ckpt_path is {name}, but there is no {path}: {instead}")

    def usable_checkpoint(self) -> Path | None:
        """Return the checkpoint to continue from: the last one, else the best one, else None.

        One that was cut while it was being written is deleted: a training would neither continue
        from it nor start beside it.
        """
        paths = [x for x in (self.last_checkpoint, self.best_checkpoint) if x.is_file()]
        for path in paths:
            if describe_damage(path):
                path.unlink()
        return next((path for path in paths if path.exists()), None)

    def finished_results(self) -> Results | None:
        """Return the results of a finished run; None if there are none, or not whole."""
        try:
            return read_results(self.results)
        except (FileNotFoundError, ResultsError):
            return None

    def write_failure(self, failure: Failure) -> None:
        """Record how an attempt failed."""
        write_atomically(self.failure, f"{json.dumps(asdict(failure))}\n".encode())

    def read_failure(self) -> Failure | None:
        """Return how the last attempt failed; None if it did not."""
        try:
            content = json.loads(self.failure.read_bytes())
            return Failure(str(content["reason"]), str(content["date"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return Failure(f"see {self.path}", "unknown")

    def read_progress(self) -> str:
        """Say how far a training is, such as ``epoch 2 of 4``; empty if its logs do not tell."""
        try:
            config = load_yaml(self.config.read_bytes())
            tables = sorted(self.logs.glob("*/metrics.csv"), key=lambda path: path.stat().st_mtime)
            with tables[-1].open(newline="") as file:
                epochs = [int(row["epoch"]) for row in csv.DictReader(file) if row.get("epoch")]
            return f"epoch {epochs[-1] + 1} of {config['trainer']['max_epochs']}"
        except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError, csv.Error):
            return ""

    def end_of_log(self, num_lines: int = 20) -> str:
        """Return the last lines that a trial printed."""
        try:
            with self.trial_log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 100_000))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        # A progress bar rewrites its line.
        parts = text.replace("\r\n", "\n").split("\n")
        lines = [part.rsplit("\r", 1)[-1].rstrip() for part in parts]
        return "\n".join([line for line in lines if line][-num_lines:])
