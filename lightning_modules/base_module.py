"""What every task shares: optimiser, schedule, losses that are no number, scores, checkpoints."""

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torchmetrics import Metric, MetricCollection

from datamodules.files import write_atomically
from lightning_modules.batch_statistics import enough_values
from lightning_modules.optimization.schedule import SchedulerFactory, readable_by_any_parser
from lightning_modules.optimization.scheduled_module import OptimizerFactory, ScheduledModule
from lightning_modules.report.second_modality import as_heading, second_modality
from lightning_modules.runs.checkpoints import check_architecture, match_compiled
from lightning_modules.runs.initial_weights import load_initial_weights
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.score import Score, check_scores, find_impossible
from mutualformer.errors import UserError
from mutualformer.fusions import Fusion


class BaseModule(ScheduledModule, ABC):
    """Train a network for a task; a subclass says what its loss, scores and pictures are.

    Batches are dicts with `rgb` `(B, 3, H, W)` and `depth` `(B, C, H, W)` in [0, 1], and lists
    `name`, `dataset` and `original_size` of length B; what else is in them is the task's.

    A task defines `scores`, `protocol`, `compute_loss`, `new_metric`, the steps of validation, test
    and prediction, and as many of the methods on pictures as it likes. Its steps update
    `self.metric(dataset)`, and return a dict.

    Args:
        network: maps (rgb, depth) to what the task expects; with a method `encoder_parameters` if
            some of its parameters are to learn at another rate.
        optimizer: called with the parameter groups.
        scheduler: a class of scheduler, stepped with the optimiser. It gets the number of steps
            that it is to span as its `T_max`, `total_iters`, `total_steps` (or other name of
            :class:`SchedulerFactory`) unless that is given; one that has none needs no number. The
            `max_lr` of OneCycleLR and CyclicLR is the optimiser's `lr` unless it is given. Or a
            function of the optimiser and the number of steps.
        warmup_steps: steps over which the learning rate first rises linearly from 1 % to its value.
        encoder_learning_rate_factor: learning rate of the encoders as a multiple of the others'; a
            network without `encoder_parameters` has one rate.
        non_finite_loss: what to do when the loss of a batch is NaN or infinite: ``"stop"`` before
            it reaches the weights, or ``"skip"`` the batch, in all processes alike. Either way the
            batch is written to ``non_finite_batch.pt`` in the run folder.
        init_from: weights that a new training begins with, of the same architecture or another one
            that shares parts; see :func:`.load_initial_weights`. Not read by other commands, nor by
            a training that continues a checkpoint.

    Attributes:
        scores: descriptions of the scores. The first one decides which checkpoint is the best.
        protocol: how the scores are computed, in a line, for `results.json` and below tables.
        latest_scores: by data set, then by name, of the last evaluation that was completed.

    Raises:
        UserError: a number is outside its range, or two scores have one name.
    """

    scores: Sequence[Score] = ()
    protocol = "not stated"

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerFactory = AdamW,
        scheduler: SchedulerFactory = CosineAnnealingLR,  # type: ignore[assignment]
        warmup_steps: int = 0,
        encoder_learning_rate_factor: float = 0.1,
        non_finite_loss: Literal["stop", "skip"] = "stop",
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if warmup_steps < 0:
            raise UserError(f"warmup_steps is {warmup_steps}, expected an integer >= 0")
        if encoder_learning_rate_factor < 0:
            raise UserError(
                f"encoder_learning_rate_factor is {encoder_learning_rate_factor}, expected >= 0"
            )
        check_scores(class_path(self), self.scores)
        self.save_hyperparameters()
        if "scheduler" in self.hparams:
            self.hparams["scheduler"] = readable_by_any_parser(self.hparams["scheduler"])
        self.network = network
        self.optimizer_factory = optimizer
        self.scheduler_factory = scheduler
        self.warmup_steps = warmup_steps
        self.encoder_learning_rate_factor = encoder_learning_rate_factor
        self.non_finite_loss = non_finite_loss
        self.init_from = init_from
        self._is_initialized = False
        self.latest_scores: dict[str, dict[str, float]] = {}
        self._metrics_of: dict[str, Metric | MetricCollection] = {}

    @property
    def modalities(self) -> Sequence[str]:
        """Which of `rgb` and `depth` the network reads; both, if it does not say."""
        return getattr(self.network, "modalities", ("rgb", "depth"))

    @abstractmethod
    def compute_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the loss of a training batch, a scalar."""

    @abstractmethod
    def new_metric(self) -> Metric | MetricCollection:
        """Return what gathers the scores of a data set: `compute` gives scalars by name."""

    def pictures(self, batch: Mapping[str, Any], outputs: Any = None) -> dict[str, Tensor]:
        """Return what to show of a batch: maps `(B, 1 or 3, H, W)` in [0, 1] by heading.

        Args:
            batch: of any stage.
            outputs: of the step that it went through; None in training.
        """
        headings = {"rgb": "RGB", "depth": as_heading(second_modality(self.trainer))}
        return {headings[name]: batch[name] for name in self.modalities}

    def prediction_image(
        self, outputs: Any, index: int, size: tuple[int, int]
    ) -> Image.Image | None:
        """Return the image file of a prediction; None if the task writes none.

        Args:
            outputs: of `predict_step`.
            index: of the sample in its batch.
            size: height and width of the sample's original image.
        """
        return None

    def prediction_overlay(
        self, batch: Mapping[str, Any], outputs: Any, index: int, size: tuple[int, int]
    ) -> Image.Image | None:
        """Return a picture of a prediction for the eye, to lie beside its file; None for none."""
        return None

    def targets(self, batch: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return what each sample is scored against, by which other data can be told."""
        return batch["depth"]

    def regions(self, batch: Mapping[str, Any]) -> Tensor | None:
        """Return a region per sample, bool `(B, H, W)`, that affinity maps ask about; or None."""
        return None

    def check_output(self, output: Any, expected: tuple[int, ...]) -> Tensor:
        """Return the output of the network if it is of the expected shape.

        Raises:
            UserError: it is not; names the network's class.
        """
        if isinstance(output, Tensor) and output.shape == expected:
            return output
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(
            f"the output of {class_path(self.network)} is {found}, expected by "
            f"{class_path(self)}: {expected} for images of {expected[-2]} × {expected[-1]} pixels. "
            "Change the network's settings or its last layer"
        )

    def load_initial_weights(self) -> None:
        """Load the weights of `init_from`, once.

        Raises:
            UserError: they cannot be read, or none of them fits.
        """
        if self.init_from is not None and not self._is_initialized:
            load_initial_weights(self, self.init_from)
            self._is_initialized = True

    def on_fit_start(self) -> None:
        """Begin a new training with the weights that were asked for."""
        if not self.trainer.ckpt_path:
            self.load_initial_weights()

    def prepare_for(self, data: Any) -> None:
        """Take over what the data module knows of the task, such as its classes, once it is set up.

        Raises:
            UserError: this model, or its network, does not fit it.
        """

    @torch.no_grad()
    def check_batch(self, batch: Mapping[str, Any]) -> None:
        """Refuse a network that does not fit the task or the data, and leave it as it was.

        Its images are kept: of them the trainer's summary counts FLOPs; without, it says 0.

        Raises:
            UserError: see :meth:`check_output`.
        """
        modes = {module: module.training for module in self.modules()}
        self.eval()  # where a batch of one sample will do, whatever the normalisation
        try:
            with torch.random.fork_rng(devices=[]), enough_values():
                self.compute_loss(batch)
        finally:
            for module, mode in modes.items():
                module.training = mode
        if {"rgb", "depth"} <= inspect.signature(self.forward).parameters.keys():
            self.example_input_array = {name: batch[name] for name in ("rgb", "depth")}

    def training_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the loss of a training batch with what the network's fusions add to it."""
        with enough_values():
            loss = self.compute_loss(batch)
        for module in self.network.modules():
            if isinstance(module, Fusion):
                loss = loss + module.auxiliary_loss()
        return loss

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor | None:
        """Return :meth:`training_loss`, or None if the batch is skipped.

        Raises:
            UserError: the loss is not finite, and training is to stop then; names the images.
        """
        loss = self.training_loss(batch)
        if not self.trainer.strategy.reduce_boolean_decision(bool(loss.isfinite())):
            self._report_non_finite(loss, batch, batch_idx)
            return None
        # Averaged over processes: the curve must not depend on how many there are.
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["name"]), sync_dist=True)
        return loss

    def _report_non_finite(self, loss: Tensor, batch: Mapping[str, Any], batch_idx: int) -> None:
        where = f"epoch {self.current_epoch}, batch {batch_idx}"
        if loss.isfinite():
            message = f"the loss of another process is not finite in {where}"
        else:
            path = RunFolder(self.trainer.default_root_dir).non_finite_batch
            write_atomically(path, lambda file: torch.save(dict(batch), file))
            names = ", ".join(map("/".join, zip(batch["dataset"], batch["name"], strict=True)))
            message = f"the loss is {loss.item()} in {where}, expected a number: {names} ({path})"
        if self.non_finite_loss == "stop":
            raise UserError(
                f"{message}. No weight has changed by it. Look at these images, lower the learning "
                "rate, or give --model.non_finite_loss=skip; the same command continues from the "
                "last checkpoint"
            )
        warnings.warn(f"{message}: the batch is skipped", stacklevel=2)

    def metric(self, dataset: str) -> Any:
        """Return what gathers the scores of a data set in the evaluation that is running."""
        if dataset not in self._metrics_of:
            self._metrics_of[dataset] = self.new_metric().to(self.device)
        return self._metrics_of[dataset]

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of an evaluation that was interrupted."""
        self._metrics_of.clear()
        self.latest_scores = {}

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_epoch_end(self) -> None:
        """Log `val/<dataset>/<score>`."""
        self._finish_scores("val")

    def on_test_epoch_end(self) -> None:
        """Log `test/<dataset>/<score>`."""
        self._finish_scores("test")

    def _finish_scores(self, stage: str) -> None:
        # Sorted, because every process must reduce the data sets in the same order.
        computed = {name: metric.compute() for name, metric in sorted(self._metrics_of.items())}
        self._metrics_of.clear()
        for dataset, values in computed.items():
            numbers = {name: float(value) for name, value in values.items()}
            if impossible := find_impossible(self.scores, dataset, numbers):
                raise UserError(
                    f"{impossible}: mend the metric of {class_path(self)}, or its scores there"
                )
            self.log_dict({f"{stage}/{dataset}/{name}": value for name, value in values.items()})
            self.latest_scores[dataset] = numbers

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another architecture before any of it is loaded.

        Raises:
            UserError: parameters are missing, unknown or of another shape; says which.
        """
        super().on_load_checkpoint(checkpoint)
        if "state_dict" not in checkpoint:  # FSDP has loaded it, and allows no mismatch
            return
        here = self.state_dict()
        checkpoint["state_dict"] = match_compiled(checkpoint["state_dict"], here)
        check_architecture(checkpoint, here, dict(self.hparams))


def class_path(instance: object) -> str:
    """Return the import path of an object's class."""
    return f"{type(instance).__module__}.{type(instance).__qualname__}"
