"""What is kept of every image that was scored, so that any choice of them can be scored anew."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from torch import Tensor, cat

from lightning_modules.runs.score import Score

Records = TypeVar("Records", bound="ImageRecords")
# From the images' shares, float64 (…, N) with sum 1, to the scores of the data set, each (…).
OfShares = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class ImageRecords(ABC):
    """Hold what the scores of N images of any data sets follow from; a subclass is of a task.

    Attributes:
        datasets: name of each image's data set.
        names: name of each image.
        values: scores of single images that are averaged over a data set, each float64 ``(N,)``.
        counts: integers that all other scores follow from, each ``(N, …)``. Empty if unknown.
        classes: that the counts are of, where there are several.
        protocol_name: how the scores are computed, in a word, for the rows of a table.
        protocol: the same in a sentence.
        averages: names of the scores in ``values``.
        truth_counts: names of those counts that are of the ground truths alone.
    """

    datasets: list[str]
    names: list[str]
    values: dict[str, Tensor]
    counts: dict[str, Tensor]
    classes: tuple[str, ...] = ()

    protocol_name: ClassVar[str]
    protocol: ClassVar[str]
    averages: ClassVar[tuple[str, ...]]
    truth_counts: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def descriptions(self) -> tuple[Score, ...]:
        """Descriptions of the scores of a data set."""

    @property
    def overview(self) -> tuple[Score, ...]:
        """The scores that a table of data sets has a column for."""
        return tuple(score for score in self.descriptions if score.heading)

    @abstractmethod
    def scores(self) -> dict[str, Tensor]:
        """Return the scores of these images as one data set, to the bit as the metric does."""

    @abstractmethod
    def image_scores(self) -> dict[str, Tensor]:
        """Return scores of single images ``(N,)``, NaN where they are undefined."""

    @abstractmethod
    def weighted_scores(self) -> OfShares:
        """Return a function that scores these images as a data set, by the share of each."""

    @classmethod
    @abstractmethod
    def count_widths(cls, num_classes: int) -> dict[str, int]:
        """Return how many numbers an image has of each of the counts, by the number of classes."""

    @classmethod
    def concatenate(cls: type[Records], parts: Sequence[Records]) -> Records:
        """Put images together; all parts must hold the same values."""
        return replace(
            parts[0],
            datasets=[dataset for part in parts for dataset in part.datasets],
            names=[name for part in parts for name in part.names],
            values={x: cat([part.values[x] for part in parts]) for x in parts[0].values},
            counts={x: cat([part.counts[x] for part in parts]) for x in parts[0].counts},
        )

    def __len__(self) -> int:
        return len(self.names)

    def select(self: Records, indices: Sequence[int]) -> Records:
        """Return the images at these positions, in this order."""
        chosen = list(indices)
        return replace(
            self,
            datasets=[self.datasets[index] for index in chosen],
            names=[self.names[index] for index in chosen],
            values={name: value[chosen] for name, value in self.values.items()},
            counts={name: count[chosen] for name, count in self.counts.items()},
        )

    def of_dataset(self: Records, dataset: str) -> Records:
        """Return the images of one data set."""
        return self.select([i for i, name in enumerate(self.datasets) if name == dataset])
