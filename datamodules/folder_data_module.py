"""What data modules of pairs on disk share, whatever the task."""

from abc import abstractmethod
from typing import Any

from datamodules.augmentation.corruption import Corruption, kinds_of
from datamodules.paired_modality_data_module import (
    PairedModalityDataModule,
    PairedModalityDataset,
)
from mutualformer.errors import UserError


class FolderDataModule(PairedModalityDataModule):
    """Finds the files of a stage once, for the modalities that the network reads.

    Attributes:
        second_modality: what takes the place of depth; set by the constructor of a subclass.
    """

    second_modality: str

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._ready: set[tuple[str, ...]] = set()

    def setup(self, stage: str) -> None:
        """Find, pair and check the files that a stage needs, once.

        Args:
            stage: `"fit"`, `"validate"`, `"test"` or `"predict"`.

        Raises:
            DataError: the stage's data were not given, or their files are not as expected.
        """
        super().setup(stage)
        self.modalities = self.modalities_read()
        if (stage, *self.modalities) in self._ready:
            return
        if stage in ("fit", "validate"):
            self._setup_training()
        elif stage == "test":
            self.test_datasets = self._find_test_datasets()
        elif stage == "predict":
            self.predict_dataset = self._find_predict_dataset()
        self._ready.add((stage, *self.modalities))

    def check_corruption(self, corruption: Corruption) -> None:
        """Refuse a wrong polarity of what has none."""
        if corruption.kind == "polarity" and self.second_modality != "depth":
            raise UserError(
                f"corruption is {corruption}, but the second modality is {self.second_modality}, "
                f"which has no polarity, expected another kind: {', '.join(kinds_of('rgb'))}"
            )

    @abstractmethod
    def _setup_training(self) -> None:
        """Set `train_dataset` and, if anything is held out, `val_dataset`."""

    @abstractmethod
    def _find_test_datasets(self) -> list[PairedModalityDataset]: ...

    @abstractmethod
    def _find_predict_dataset(self) -> PairedModalityDataset: ...
