"""The scores of every image, complete enough to average them anew over any choice of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lightning_modules.metrics.e_measure import e_values
from lightning_modules.metrics.f_measure import f_values, precision_recall
from lightning_modules.metrics.image_records import ImageRecords, OfShares
from lightning_modules.metrics.protocol import PROTOCOL, PROTOCOL_NAME
from lightning_modules.runs.score import SALIENCY_SCORES, Score

if TYPE_CHECKING:
    from lightning_modules.metrics.pair_histograms import PairHistograms

# These follow from curves that were averaged over images; the other scores are averages themselves.
_OF_CURVES = ("f_max", "f_mean", "e_max", "e_mean", "f_max_dataset")
AVERAGED_SCORES = tuple(s.name for s in SALIENCY_SCORES if s.name not in _OF_CURVES)
# A power of two, so that the scaling itself is exact.
_STEPS_PER_UNIT = 2.0**36
_COUNTS = ("true_positives", "false_positives", "foreground", "background")


@dataclass(frozen=True, eq=False)
class PerImageScores(ImageRecords):
    """Hold the saliency scores of N images of any data sets.

    Max and mean F and E of a data set come from the average of the images' curves, not from a
    number per image. The curves are kept as the integers that they follow from.

    Attributes:
        values: ``AVERAGED_SCORES``; those not computed are absent.
        counts: pixels at or above each of 256 rising thresholds inside the mask
            (``true_positives``) and outside it (``false_positives``), int32 ``(N, 256)``, and of
            the mask itself (``foreground``, ``background``), int32 ``(N, 1)``. Empty if unknown:
            then there are no curves.
    """

    protocol_name = PROTOCOL_NAME
    protocol = PROTOCOL
    averages = AVERAGED_SCORES
    truth_counts = ("foreground", "background")

    @property
    def descriptions(self) -> tuple[Score, ...]:
        """The scores of salient object detection."""
        return SALIENCY_SCORES

    @classmethod
    def count_widths(cls, num_classes: int) -> dict[str, int]:
        """Return 256 for counts over thresholds, and 1 for those of the mask."""
        return dict(zip(_COUNTS, (256, 256, 1, 1), strict=True))

    @classmethod
    def from_values(
        cls,
        dataset: str,
        names: Sequence[str],
        histograms: PairHistograms,
        values: Mapping[str, Tensor],
    ) -> PerImageScores:
        """Take over what ``SaliencyScores.per_image`` computed for images of one data set."""
        positives = histograms.true_and_false_positives
        counts = (*positives, *histograms.foreground_and_background())
        return cls(
            [dataset] * len(names),
            list(names),
            {name: values[name] for name in AVERAGED_SCORES if name in values},
            {name: count.int() for name, count in zip(_COUNTS, counts, strict=True)},
        )

    def curves(self) -> dict[str, Tensor]:
        """Return the curves of each image, float64 ``(N, 256)``; empty if there are no counts."""
        if not self.counts:
            return {}
        counts = {name: count.double() for name, count in self.counts.items()}
        precision, recall = precision_recall(
            counts["true_positives"], counts["false_positives"], counts["foreground"]
        )
        return {
            "f_curve": f_values(precision, recall),
            "e_curve": e_values(**counts),
            "precision_curve": precision,
            "recall_curve": recall,
        }

    def means(self) -> dict[str, Tensor]:
        """Average values and curves over the images, to the bit as ``SaliencyScores`` does."""
        return {
            name: rounded(value).sum(dim=0) / len(self)
            for name, value in (self.values | self.curves()).items()
        }

    def scores(self) -> dict[str, Tensor]:
        """Return the scores of the averages."""
        return dataset_scores(self.means())

    def image_scores(self) -> dict[str, Tensor]:
        """Return scores of single images ``(N,)``, to find the best and the worst by.

        ``f_mean`` and ``e_mean`` average to those of the data set. ``f_max_image`` and
        ``e_max_image`` are the maxima of each image's own curve, which do not: every image has its
        own best threshold there.
        """
        scores = {name: self.values[name] for name in AVERAGED_SCORES if name in self.values}
        curves = self.curves()
        for measure in ("f", "e"):
            if f"{measure}_curve" in curves:
                scores[f"{measure}_mean"] = curves[f"{measure}_curve"].mean(dim=1)
                scores[f"{measure}_max_image"] = curves[f"{measure}_curve"].amax(dim=1)
        return scores

    def weighted_scores(self) -> OfShares:
        """Average values and curves by the images' shares, then take maxima over thresholds.

        Scores that need curves are left out if there are no counts.
        """
        values = self.values | self.curves()
        widths = [value[0].numel() for value in values.values()]
        matrix = torch.cat([value.view(len(self), -1) for value in values.values()], dim=1)

        def of_shares(shares: Tensor) -> dict[str, Tensor]:
            parts = zip(values, (shares @ matrix).split(widths, dim=-1), strict=True)
            return dataset_scores(
                {name: part if part.shape[-1] > 1 else part[..., 0] for name, part in parts}
            )

        return of_shares


def dataset_scores(means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Compute the scores of a data set from its per-image values averaged over images.

    Args:
        means: by name as ``SaliencyScores.per_image`` names them; may have leading dimensions,
            the same for all. Scores whose values are absent are left out.

    Returns:
        The scores, in the order of a table.
    """
    known = dict(means)
    for measure in ("f", "e"):
        if f"{measure}_curve" in means:
            known |= curve_scores(measure, known)
    if "precision_curve" in means:
        f_curve = f_values(means["precision_curve"], means["recall_curve"])
        known["f_max_dataset"] = f_curve.amax(dim=-1)
    return {score.name: known[score.name] for score in SALIENCY_SCORES if score.name in known}


def rounded(values: Tensor) -> Tensor:
    """Round float64 values to multiples of 2⁻³⁶ (1.5e-11), so that their sums are exact.

    >>> tenths = rounded(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    >>> (tenths[0] + tenths[1] + tenths[2] == tenths[2] + tenths[1] + tenths[0]).item()
    True
    """
    return (values * _STEPS_PER_UNIT).round() / _STEPS_PER_UNIT


def curve_scores(measure: str, means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return maximum and mean over thresholds of a mean curve, and the mean adaptive value.

    Means may have leading dimensions, the same for all of them.

    >>> means = {"f_curve": torch.tensor([0.25, 0.75]), "f_adaptive": torch.tensor(0.5)}
    >>> {name: value.item() for name, value in curve_scores("f", means).items()}
    {'f_max': 0.75, 'f_mean': 0.5, 'f_adaptive': 0.5}
    """
    curve = means[f"{measure}_curve"]
    return {
        f"{measure}_max": curve.amax(dim=-1),
        f"{measure}_mean": curve.mean(dim=-1),
        f"{measure}_adaptive": means[f"{measure}_adaptive"],
    }
