"""Build what a configuration describes as `fit` does, without a training."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from datamodules.paired_modality_data_module import PairedModalityDataModule
from lightning_modules.cli.settings_phase import SettingsPhase, failed_in_users_code
from lightning_modules.cli.trainer_settings import check_settings
from lightning_modules.cli.training import MutualFormerCLI
from lightning_modules.costs.configurations import Source
from lightning_modules.costs.cost_file import Cost
from lightning_modules.costs.measure import measure_cost
from mutualformer.errors import UserError

# A cost is that of one process, which keeps and shows nothing.
_ONE_PROCESS = {
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "sync_batchnorm": False,
    "logger": False,
    "callbacks": None,
    "profiler": None,
}


class CostBuilder(MutualFormerCLI):
    """Parse configurations as those of ``fit``, and build and measure one when asked to.

    Args:
        source: the first of them.
        settings: flags that lie over every configuration.
    """

    def __init__(self, source: Source, settings: Sequence[str]) -> None:
        self._settings = settings
        super().__init__(self._words(source))
        self._parsed: Source | None = source

    def _words(self, source: Source) -> list[str]:
        place = [] if source.run is None else [f"--trainer.default_root_dir={source.run.path}"]
        return ["fit", f"--config={source.path}", *place, *self._settings]

    def parse(self, source: Source) -> dict[str, Any]:
        """Parse a configuration; returns it resolved."""
        if source is not self._parsed:  # which takes a second
            self.parse_arguments(self.parser, self._words(source))
            self._parsed = source
        self.check_seed()
        check_settings(vars(self.config.fit.trainer), "fit")
        return self._resolved_config()

    def measure(self, source: Source) -> Cost:
        """Build a configuration and measure it on its first training batch.

        Raises:
            UserError: it cannot be built, its data are missing, or its network fails.
        """
        self.parse(source)
        self._parsed = None
        vars(self.config.fit.trainer).update(_ONE_PROCESS)
        with _without_messages():
            super()._set_seed()
            super().instantiate_classes()
        with SettingsPhase("data"), failed_in_users_code("data"):
            batch = self._first_batch()
        with SettingsPhase("model.network", networks=True), failed_in_users_code("model"):
            self.model.to(self.trainer.strategy.root_device)
            self.model.check_batch({name: values[:1] for name, values in batch.items()})
            return measure_cost(self.model, batch, self.trainer)

    def _first_batch(self) -> dict[str, Any]:
        """Return the first training batch as the model gets it."""
        data, device = self.datamodule, self.trainer.strategy.root_device
        if isinstance(data, PairedModalityDataModule):
            data.modalities = self.model.modalities
        data.setup("fit")
        batch = next(iter(data.train_dataloader()), None)
        if batch is None:
            raise UserError("data has no training batch, expected one to measure")
        batch = data.on_before_batch_transfer(batch, 0)
        return data.on_after_batch_transfer(data.transfer_batch_to_device(batch, device, 0), 0)

    # What the constructor would do:

    def _set_seed(self) -> None:
        """Set none yet."""

    def before_instantiate_classes(self) -> None:
        """Look at no run folder."""

    def instantiate_classes(self) -> None:
        """Build nothing yet."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Train nothing."""


@contextmanager
def _without_messages() -> Iterator[None]:
    """Hide what the trainer tells of devices, anew for each configuration."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
