"""Measure what a configuration builds."""

from collections.abc import Sequence
from typing import Any

from datamodules.paired_modality_data_module import PairedModalityDataModule
from lightning_modules.cli.configuration_builder import ConfigurationBuilder
from lightning_modules.cli.configurations import Source
from lightning_modules.cli.settings_phase import SettingsPhase, failed_in_users_code
from lightning_modules.costs.cost_file import Cost
from lightning_modules.costs.measure import measure_cost
from mutualformer.errors import UserError


class CostBuilder(ConfigurationBuilder):
    """Parse configurations as those of ``fit``, and build and measure one when asked to.

    Args:
        source: the first of them.
        settings: flags that lie over every configuration.
    """

    def __init__(self, source: Source, settings: Sequence[str]) -> None:
        super().__init__("fit", source, settings)

    def measure(self, source: Source) -> Cost:
        """Build a configuration and measure it on its first training batch.

        Raises:
            UserError: it cannot be built, its data are missing, or its network fails.
        """
        self.build(source)
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
