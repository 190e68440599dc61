"""What a trained run makes of the first images of its test data, or of those that it is given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.base_module import BaseModule, class_path
from lightning_modules.cli.configuration_builder import ConfigurationBuilder, naming
from lightning_modules.cli.configurations import Source, refuse_for_runs
from mutualformer.errors import UserError

Found = TypeVar("Found")
Look = Callable[[BaseModule, Mapping[str, Any], Any, int], Found]
"""Called with the module, a batch, what its step returned, and an index in the batch."""


class _FirstScenes(Callback, Generic[Found]):
    def __init__(self, count: int, look: Look[Found]) -> None:
        self.count = count
        self.look = look
        self.found: list[Found] = []

    def on_test_batch_end(  # type: ignore[override]
        self,
        trainer: Trainer,
        pl_module: BaseModule,
        outputs: Any,
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look at images until there are enough; of the first data set alone."""
        for index in range(len(batch["name"]) if dataloader_idx == 0 else 0):
            if len(self.found) < self.count:
                self.found.append(self.look(pl_module, batch, outputs, index))

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]


def look_at_first(
    source: Source,
    settings: Sequence[str],
    count: int,
    prepare: Callable[[LightningModule], Look[Found]],
) -> list[Found]:
    """Load the best checkpoint of a run and apply it as `test` does, or as `predict` does.

    Args:
        source: the run.
        settings: flags that lie over its configuration; with `--data.predict_…` among them, those
            are the images.
        count: how many images to look at, of the first data set.
        prepare: called with the module before it sees any; returns what looks.

    Raises:
        UserError: it is no trained run, or has fewer images.
    """
    if source.run is None:
        raise UserError(f"{source.name} is an experiment, expected the folder of a trained run")
    refuse_for_runs([source], settings)
    command = "predict" if any(x.startswith("--data.predict_") for x in settings) else "test"
    with naming(source):
        source.run.find_checkpoint()  # before anything is built
        builder = ConfigurationBuilder(command, source, settings)
        limit = {f"limit_{command}_batches": count}  # each has one image at least
        quiet = {"enable_progress_bar": False, "enable_model_summary": False}
        builder.build_trained(source, source.run, **limit, **quiet)
        if not isinstance(builder.model, BaseModule):
            raise UserError(f"{class_path(builder.model)} is no task of images, expected one")
        scenes = _FirstScenes(count, prepare(builder.model))
        builder.trainer.callbacks[:] = [scenes]  # type: ignore[attr-defined]
        if command == "test":
            builder.trainer.test(builder.model, datamodule=builder.datamodule, verbose=False)
        else:
            builder.trainer.predict(builder.model, datamodule=builder.datamodule)
        if len(scenes.found) < count:
            raise UserError(
                f"{count} images are asked for, expected at most the {len(scenes.found)} there are"
            )
    return scenes.found
