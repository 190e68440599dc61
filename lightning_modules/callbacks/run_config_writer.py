"""Where a run keeps what it came from: its configuration and the state of the code."""

from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from datamodules.files import write_atomically
from lightning_modules.callbacks import ResultsWriter
from lightning_modules.runs.provenance import describe_environment, git_changes
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import OPTIONS_OF_ONE_COMMAND, flatten
from lightning_modules.tracking import send_configuration, send_file
from mutualformer import __version__


class RunConfigWriter(SaveConfigCallback):
    """Write the resolved configuration of a training run to `<run folder>/config.yaml`.

    Only what every command understands is written, so that the file serves `fit`, `test` and
    `predict` alike. Beside it lies `code.diff` if the code differs from its commit. The results of
    a test run receive its configuration too, and a tracked run both, with where it runs; so do
    checkpoints, under `provenance`.
    """

    provenance: dict[str, Any]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the files before the first step of `fit`."""
        config = yaml.safe_load(self.parser.dump(self.config, skip_none=False))
        for of_one_command in OPTIONS_OF_ONE_COMMAND:
            config.pop(of_one_command, None)
        config["trainer"].pop("default_root_dir")  # a run is where its folder lies
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, ResultsWriter):
                callback.config = config
        environment = describe_environment(trainer.strategy.root_device, trainer.world_size)
        self.provenance = {"version": __version__, "config": config, **environment}
        if not trainer.is_global_zero:
            return
        send_configuration(trainer, {**flatten(config), **environment})
        if stage == "fit":
            run = RunFolder(trainer.default_root_dir)
            text = yaml.safe_dump(config, sort_keys=False)
            write_atomically(run.config, text.encode())
            patch = git_changes()
            if patch is None:
                run.code_diff.unlink(missing_ok=True)
            else:
                write_atomically(run.code_diff, patch)
                send_file(trainer, run.code_diff)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a checkpoint say what it came from, in plain types that need no pickle to run."""
        checkpoint["provenance"] = self.provenance
