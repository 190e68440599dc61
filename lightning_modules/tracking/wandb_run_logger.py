"""Weights & Biases for a run in a folder: one tracked run per folder, online where that works."""

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from datamodules.files import write_atomically
from lightning_modules.lightning_internals import (
    forget_wandb_run,
    set_wandb_folder,
    wandb_options,
    wandb_run,
)
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.tracking.offline import reason_to_stay_offline
from lightning_modules.tracking.sent_rows import SentRows, count_rows, remove_empty_parts
from mutualformer.errors import UserError

# Whatever W&B does not answer within these seconds stays on disk, and training goes on.
INIT_TIMEOUT = 20
FINISH_TIMEOUT = 60
# What W&B's charts have on their axes; Lightning's name for it.
STEP = "trainer/global_step"


class WandbRunLogger(WandbLogger):
    """Log a run to Weights & Biases, and keep it offline where W&B cannot be reached.

    All commands on one run folder log to one W&B run: its id is kept in ``wandb_run_id.txt`` there,
    its files in ``wandb/``. Without a key or network, the run goes offline, and the command that
    uploads it later is printed. ``WANDB_MODE`` decides instead if it is set; under ``wandb agent``
    the agent's run is used.

    Args:
        project: by default ``$WANDB_PROJECT``, or else ``mutualformer``.
        entity: user or team; by default ``$WANDB_ENTITY``, or else the default of the account.
        name: of the run; by default ``$WANDB_NAME``, or else the name of the run's folder.
        group: of runs that belong together; by default ``$WANDB_RUN_GROUP``, which a sweep sets to
            its name.
        job_type: of the run in its group; by default ``$WANDB_JOB_TYPE``, which a sweep sets to
            ``trial``.
        tags: to filter runs by; by default ``$WANDB_TAGS``, with commas.
        notes: on the run; by default ``$WANDB_NOTES``.
        keep_checkpoint: whether the best checkpoint, or the last one of a run that has no best, is
            kept as an artifact at the end of ``fit``.

    Attributes:
        more_follows: whether this process goes on with the run after the command that is running,
            so that it stays open; whoever knows sets it.
        least_step: of an evaluation, the number of steps that its checkpoint was trained for.

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        keep_checkpoint: bool = False,
    ) -> None:
        try:
            import wandb  # noqa: F401
        except ImportError as error:
            raise UserError(
                "trainer.logger is WandbRunLogger, but wandb is not installed, expected it: "
                "pip install 'mutualformer[wandb]', or leave out the W&B overlay"
            ) from error
        self._given_name = name or os.environ.get("WANDB_NAME")
        super().__init__(
            project=project or os.environ.get("WANDB_PROJECT") or "mutualformer",
            entity=entity,
            name=self._given_name,
            group=group,
            job_type=job_type,
            tags=tags,
            notes=notes,
        )
        self.keep_checkpoint = keep_checkpoint
        self.more_follows = False
        self.least_step = 0
        self._checkpoints: ModelCheckpoint | None = None
        self._sent: SentRows | None = None
        del wandb_options(self)["anonymous"]  # wandb warns of it, whatever it is
        self.use_folder(Path("."))

    def use_folder(self, folder: Path) -> None:
        """Settle the run's folder; to be called before the first log."""
        self.folder = folder
        set_wandb_folder(self, str(folder))
        wandb_options(self)["name"] = self._given_name or folder.resolve().name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, begun or continued when it is first needed."""
        if wandb_run(self) is None:
            self._begin()
        return wandb_run(self)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Leave out what the module saved: the resolved configuration holds it, and is sent."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send what has not been sent of this step: a continued run repeats some, to the bit."""
        run = self.experiment
        if self._sent is None:  # W&B is disabled
            return
        if step is None:  # of pictures and tables
            step = max(self.least_step, self._sent.latest)
            self._send(run, metrics, {}, step)
            return
        step = max(step, self.least_step)
        new = self._sent.select_new(metrics, step)
        if {*new} - {"epoch"}:
            self._send(run, new, new, step)

    def _send(
        self, run: Any, metrics: Mapping[str, Any], kept: Mapping[str, float], step: int
    ) -> None:
        assert self._sent is not None
        run.log({**metrics, STEP: step}, step=len(self._sent.rows))
        self._sent.add(kept, step)

    def _send_what_was_lost(self, run: Any) -> None:
        """Send what an earlier process was killed with before W&B had it."""
        folder = RunFolder(self.folder)
        self._sent = SentRows(folder.wandb_rows)
        there = max(run.step, count_rows(folder.wandb))
        for index, row in enumerate(self._sent.rows[there:], there):
            step = row["step"]
            run.log({**{x: row[x] for x in row if x != "step"}, STEP: step}, step=index)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Remember who knows the checkpoints."""
        if self._checkpoints is None or Path(checkpoint_callback.dirpath or "") == (
            RunFolder(self.folder).checkpoints
        ):  # not a further one of the user's, if it can be told
            self._checkpoints = checkpoint_callback

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Finish the W&B run unless more follows; say how to upload it if it is offline."""
        run = wandb_run(self)
        if run is None:
            return
        if self.keep_checkpoint and status == "success":
            self._send_checkpoint(run)
        if self.more_follows and status == "success":
            return
        forget_wandb_run(self)
        run.finish(exit_code=0 if status == "success" else 1)
        if run.offline:
            folder = shlex.quote(str(RunFolder(self.folder).wandb))
            rank_zero_info(f"W&B run kept offline. Upload it with: wandb sync {folder}")

    def _send_checkpoint(self, run: Any) -> None:
        import wandb

        if self._checkpoints is None:  # nothing was trained
            return
        best = self._checkpoints.best_model_path
        path = best or self._checkpoints.last_model_path
        self._checkpoints = None
        if not Path(path).is_file() or run.disabled:
            return
        artifact = wandb.Artifact(f"checkpoint-{run.id}", "model")
        artifact.add_file(path)
        run.log_artifact(artifact, aliases=["best" if best else "last"])

    def _begin(self) -> None:
        import wandb

        self.folder.mkdir(parents=True, exist_ok=True)
        remove_empty_parts(RunFolder(self.folder).wandb)
        id_file = RunFolder(self.folder).wandb_run_id
        known_id = id_file.read_text().strip() if id_file.is_file() else None
        options = wandb_options(self)
        options |= {
            "dir": str(self.folder.resolve()),
            "id": os.environ.get("WANDB_RUN_ID") or known_id,
            "settings": {
                "init_timeout": INIT_TIMEOUT,
                "finish_timeout": FINISH_TIMEOUT,
                "quiet": True,
            },
        }
        reason = reason_to_stay_offline(wandb.setup().settings)
        if reason is None:
            try:
                run = super().experiment
            except wandb.Error as error:
                reason = str(error).splitlines()[0]
                # Without this, W&B refuses another run of the same id in this process.
                wandb.teardown()
        if reason is not None:
            rank_zero_info(f"W&B: {reason}. The run is kept offline")
            options["mode"] = "offline"
            options["settings"]["silent"] = True  # what matters is said here
            run = super().experiment
        if not run.disabled:
            write_atomically(id_file, f"{run.id}\n".encode())
            self._send_what_was_lost(run)


def send_configuration(trainer: Trainer, configuration: Mapping[str, Any]) -> None:
    """Set entries of the W&B run's configuration."""
    for run in _runs(trainer):
        run.config.update(dict(configuration), allow_val_change=True)


def send_file(trainer: Trainer, path: Path) -> None:
    """Keep a file as it is now with the W&B run."""
    for run in _runs(trainer):
        if not Path(run.dir).is_dir():  # WANDB_MODE is disabled
            continue
        # The file is copied: later commands replace it, and W&B would only link to it.
        copy = shutil.copy(path, run.dir)
        run.save(copy, base_path=run.dir, policy="now", glob=False)


def send_picture(trainer: Trainer, key: str, path: Path) -> None:
    """Show a picture in the W&B run under a key."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_image(key, [str(path)])


def send_table(trainer: Trainer, key: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Show a table in the W&B run under a key."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRunLogger):
            logger.log_table(key, columns=columns, data=rows)


def say_what_follows(trainer: Trainer, more: bool, least_step: int | None = None) -> None:
    """Say whether the process goes on with its W&B run, and which step an evaluation is of."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbRunLogger):
            logger.more_follows = more
            logger.least_step = logger.least_step if least_step is None else least_step


def _runs(trainer: Trainer) -> list[Any]:
    return [x.experiment for x in trainer.loggers if isinstance(x, WandbRunLogger)]
