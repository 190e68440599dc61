"""What the data modules share: loaders over data sets of paired modalities."""

import os
from collections.abc import Sequence

import torch
import torch.distributed
from lightning.pytorch import LightningDataModule
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2.functional import to_dtype

from datamodules.augmentation.corruption import MODALITIES, Corruption, blank
from datamodules.batch import Batch, collate, to_floats
from datamodules.errors import DataError, check_at_least
from datamodules.training_order import SeededDataset, TrainingOrder, mix_seeds
from datamodules.workers import SignalSafeDataLoader, begin_worker
from mutualformer.errors import UserError


class PairedModalityDataset(Dataset[Batch]):
    """A data set of known length whose items are the dicts described in `collate`."""

    def __len__(self) -> int:
        raise NotImplementedError


class CorruptedDataset(PairedModalityDataset):
    """Corrupt one modality of every image, which is what the network sees."""

    def __init__(self, dataset: PairedModalityDataset, corruption: Corruption) -> None:
        self.dataset = dataset
        self.corruption = corruption

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        item = self.dataset[index]
        modality = self.corruption.modality
        image = to_dtype(item[modality], torch.float32, scale=True)
        return {**item, modality: self.corruption(image, item["name"])}


class ModalityDropout(PairedModalityDataset):
    """Leave one modality of some samples blank; draws from torch's global generator.

    It draws after the sample's own augmentation, which is therefore the same with it and without.
    """

    def __init__(self, dataset: PairedModalityDataset, probability: float) -> None:
        self.dataset = dataset
        self.probability = probability

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        item = self.dataset[index]
        if torch.rand(()) < self.probability:
            modality = MODALITIES[int(torch.randint(2, ()))]
            item = {**item, modality: blank(item[modality])}
        return item


class PairedModalityDataModule(LightningDataModule):
    """Loaders over data sets that a subclass creates in its constructor or in `setup`.

    Args:
        batch_size, eval_batch_size, num_workers, seed: see the subclasses.
        corruption: of the images of `test` and `predict`, see :class:`Corruption`.
        modality_dropout: probability in [0, 1] that a training sample lacks one modality, chosen at
            random: it is blank there.

    Attributes:
        corruption: that was parsed; None for clean images.
        train_dataset: for `fit`.
        val_dataset: for `fit` and `validate`; `None` in a run without validation.
        test_datasets: for `test`, one loader each, in this order.
        predict_dataset: for `predict`.
        modalities: `rgb`, `depth` or both: what the network reads, if no trainer can tell.
    """

    modalities: Sequence[str] = ("rgb", "depth")

    train_dataset: PairedModalityDataset
    val_dataset: PairedModalityDataset | None
    test_datasets: Sequence[PairedModalityDataset]
    predict_dataset: PairedModalityDataset

    def __init__(
        self,
        batch_size: int,
        eval_batch_size: int,
        num_workers: int,
        seed: int,
        corruption: str | None = None,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size)
        check_at_least(0, num_workers=num_workers, seed=seed)
        if not 0.0 <= modality_dropout <= 1.0:
            raise UserError(
                f"modality_dropout is {modality_dropout}, expected a probability in [0, 1]"
            )
        self.corruption = None if corruption is None else Corruption.parse(corruption)
        self.modality_dropout = modality_dropout
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self._position: dict[str, int] | None = None
        self._seeds_are_hashed = True

    def modalities_read(self) -> Sequence[str]:
        """Return which modalities the network reads: only these need to be there."""
        module = getattr(self.trainer, "lightning_module", None)
        return tuple(getattr(module, "modalities", self.modalities))

    def setup(self, stage: str) -> None:
        """Refuse what would change nothing that the network reads, or all of it.

        Raises:
            UserError: names the setting.
        """
        read = self.modalities_read()
        if stage in ("test", "predict") and self.corruption is not None:
            self.check_corruption(self.corruption)
            if self.corruption.modality not in read:
                raise UserError(
                    f"corruption is {self.corruption}, but the network reads {read[0]} alone, "
                    f"expected one of {read[0]}: leave it out"
                )
        if stage == "fit" and self.modality_dropout and len(read) < 2:
            raise UserError(
                f"modality_dropout is {self.modality_dropout}, but the network reads {read[0]} "
                "alone, of which it would leave nothing, expected 0: leave it out"
            )

    def check_corruption(self, corruption: Corruption) -> None:
        """Raise a `UserError` for a corruption that these data cannot have."""

    def state_dict(self) -> dict[str, int]:
        """Return the position in the training data, which a checkpoint keeps."""
        assert self.trainer is not None
        epoch = self.trainer.current_epoch
        num_batches = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        if num_batches >= self.trainer.num_training_batches:
            epoch, num_batches = epoch + 1, 0
        return {
            "epoch": epoch,
            "num_batches": num_batches,
            "seeds_are_hashed": self._seeds_are_hashed,
        }

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take up the training data where a checkpoint was written."""
        self._position = state_dict
        # Seeds were once combined by exclusive or, in which equal ones cancel out. A run that
        # began so goes on so: its order must not change in the middle.
        self._seeds_are_hashed = bool(state_dict.get("seeds_are_hashed", False))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Give the model what it expects, once the batch is on its device."""
        return to_floats(batch)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the training loader.

        Its batches are as `collate` makes them, before `on_after_batch_transfer`.

        Order and augmentation depend on `seed` and on the seed of the run (`seed_everything`), not
        on workers or processes; see `TrainingOrder`.
        """
        rank, num_processes = _rank_and_num_processes()
        # Set by seed_everything, in all processes alike.
        seed_of_run = int(os.environ.get("PL_GLOBAL_SEED", 0))
        hashed = self._seeds_are_hashed
        seed = mix_seeds(self.seed, seed_of_run) if hashed else self.seed ^ seed_of_run
        order = TrainingOrder(len(self.train_dataset), self.batch_size, seed, rank, num_processes)
        if self._position:
            # Lightning sets the epoch only after workers have begun to read ahead.
            order.resume(self._position["epoch"], self._position["num_batches"])
        dataset = self.train_dataset
        if self.modality_dropout:
            dataset = ModalityDropout(dataset, self.modality_dropout)
        return self._loader(SeededDataset(dataset, seed), order, order.batch_size)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the validation loader, or an empty list in a run without validation."""
        return [] if self.val_dataset is None else self._evaluation_loader(self.val_dataset)

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """Return one loader per test set."""
        return [self._evaluation_loader(self._corrupted(x)) for x in self.test_datasets]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the pairs to predict."""
        return self._evaluation_loader(self._corrupted(self.predict_dataset))

    def _corrupted(self, dataset: PairedModalityDataset) -> PairedModalityDataset:
        return dataset if self.corruption is None else CorruptedDataset(dataset, self.corruption)

    def _evaluation_loader(self, dataset: PairedModalityDataset) -> DataLoader[Batch]:
        sampler = None
        _, num_processes = _rank_and_num_processes()
        if num_processes > 1:
            if len(dataset) < num_processes:
                raise DataError(
                    f"{len(dataset)} evaluation sample(s) for {num_processes} processes, expected "
                    f"at least one each: use --trainer.devices={len(dataset)} or add samples"
                )
            # The default sampler repeats samples until all processes have equally many, and the
            # repeated ones would count twice in the scores.
            sampler = UnrepeatedDistributedSampler(dataset, shuffle=False)
        return self._loader(dataset, sampler, self.eval_batch_size)

    def _loader(
        self, dataset: Dataset[Batch], sampler: Sampler | None, batch_size: int
    ) -> DataLoader[Batch]:
        return SignalSafeDataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=begin_worker,
            collate_fn=collate,
        )


def _rank_and_num_processes() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
