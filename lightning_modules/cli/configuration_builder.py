"""Build what configurations describe as a training command does, without running it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lightning_modules.cli.configurations import Source
from lightning_modules.cli.errors import explain
from lightning_modules.cli.trainer_settings import check_settings
from lightning_modules.cli.training import MutualFormerCLI
from lightning_modules.runs.checkpoints import read_checkpoint
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError

# What is measured is measured by one process, which keeps and shows nothing else.
_ONE_PROCESS = {
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "sync_batchnorm": False,
    "logger": False,
    "callbacks": None,
    "profiler": None,
}


class ConfigurationBuilder(MutualFormerCLI):
    """Parse configurations as those of a command, and build one when asked to.

    Args:
        command: ``fit``, ``test`` or ``predict``.
        source: the first of the configurations.
        settings: flags that lie over every configuration.
    """

    def __init__(self, command: str, source: Source, settings: Sequence[str]) -> None:
        self._command = command
        self._settings = settings
        super().__init__(self._words(source))
        self._parsed: Source | None = source

    def _words(self, source: Source) -> list[str]:
        place = [] if source.run is None else [f"--trainer.default_root_dir={source.run.path}"]
        return [self._command, f"--config={source.path}", *place, *self._settings]

    def parse(self, source: Source) -> dict[str, Any]:
        """Parse a configuration; returns it resolved."""
        if source is not self._parsed:  # which takes a second
            self.parse_arguments(self.parser, self._words(source))
            self._parsed = source
        self.check_seed()
        check_settings(vars(self.config[self._command].trainer), self._command)
        return self._resolved_config()

    def build(self, source: Source, **of_trainer: Any) -> None:
        """Build model, data module and trainer of a configuration, for one process.

        Args:
            source: the configuration.
            of_trainer: further settings of the trainer that are not the configuration's.
        """
        self.parse(source)
        self._parsed = None
        vars(self.config[self._command].trainer).update(_ONE_PROCESS | of_trainer)
        with _without_messages():
            super()._set_seed()
            super().instantiate_classes()

    def build_trained(self, source: Source, run: RunFolder, **of_trainer: Any) -> None:
        """Build the configuration of a run with the weights of its best checkpoint, as above.

        Raises:
            UserError: it has no checkpoint, or one that does not fit.
        """
        path = run.find_checkpoint()
        self.build(source, **of_trainer)
        # They would write into the folder of the run.
        self.trainer.callbacks.clear()  # type: ignore[attr-defined]
        checkpoint = read_checkpoint(path)
        self.model.on_load_checkpoint(checkpoint)
        self.model.load_state_dict(checkpoint["state_dict"])
        self.datamodule.modalities = getattr(self.model, "modalities", ("rgb", "depth"))

    # What the constructor would do:

    def _set_seed(self) -> None:
        """Set none yet."""

    def before_instantiate_classes(self) -> None:
        """Look at no run folder."""

    def instantiate_classes(self) -> None:
        """Build nothing yet."""

    def _weights_follow(self) -> bool:
        """Return True: those of a checkpoint, or none that matter to what is measured."""
        return True

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Say of a mistake in the body of the `with` whose it is."""
    try:
        yield
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        raise UserError(f"{source.name}: {explanation.message}") from error


@contextmanager
def _without_messages() -> Iterator[None]:
    """Hide what the trainer tells of devices, anew for each configuration."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
