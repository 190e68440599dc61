"""Probes: which label does each token ask for?"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from datamodules.token_probes import NOT_ASKED
from lightning_modules.base_module import BaseModule
from lightning_modules.runs.score import Score
from mutualformer.errors import UserError


class ProbeModule(BaseModule):
    """Train a network to tell, of every token that is asked, the label of its chain.

    Batches also hold `target` `(B, H, W)`, int64 in [0, L), or -1 where nothing is asked.

    Args:
        network: maps (rgb, depth) to logits `(B, L, H, W)`.
        num_labels: L.
        options: of :class:`BaseModule`.
    """

    scores = (Score("accuracy", "Accuracy", main=True),)
    protocol = "share of the tokens asked whose label is told, over all scenes"

    def __init__(self, network: nn.Module, num_labels: int = 2, **options: Any) -> None:
        if num_labels < 2:
            raise UserError(f"num_labels is {num_labels}, expected an integer >= 2")
        super().__init__(network, **options)
        self.num_labels = num_labels

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Map a pair of grids to logits."""
        expected = (len(rgb), self.num_labels, *rgb.shape[-2:])
        return self.check_output(self.network(rgb, depth), expected)

    def compute_loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the cross-entropy over the tokens asked."""
        if int(batch["target"].max()) >= self.num_labels:
            raise UserError(
                f"a target is label {int(batch['target'].max())}, expected fewer than "
                f"{self.num_labels} labels: num_labels of the model and of the data must be the "
                "same"
            )
        logits = self(batch["rgb"], batch["depth"])
        return nn.functional.cross_entropy(logits, batch["target"], ignore_index=NOT_ASKED)

    def new_metric(self) -> MetricCollection:
        """Return the accuracy over tokens, each counting once."""
        accuracy = MulticlassAccuracy(self.num_labels, average="micro", ignore_index=NOT_ASKED)
        return MetricCollection({"accuracy": accuracy})

    def validation_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Score a batch; returns its `label`s, `(B, H, W)`."""
        output = self.predict_step(batch, batch_idx)
        self.metric(batch["dataset"][0]).update(output["label"], batch["target"])
        return output

    test_step = validation_step

    def predict_step(
        self, batch: Mapping[str, Any], batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Return the `label` told of each token, `(B, H, W)`."""
        return {"label": self(batch["rgb"], batch["depth"]).argmax(1)}

    def pictures(self, batch: Mapping[str, Any], outputs: Any = None) -> dict[str, Tensor]:
        """Return nothing: tokens are no images."""
        return {}

    def targets(self, batch: Mapping[str, Any]) -> Sequence[Tensor]:
        """Return the targets."""
        return batch["target"]
