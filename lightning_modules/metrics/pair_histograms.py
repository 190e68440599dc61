"""The counts from which every score of a (prediction, ground truth) pair follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

NUM_LEVELS = 256
# Far above the rounding error of a mean over any image, far below the gap between 8-bit levels.
_TIE_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class PairHistograms:
    """Hold the level histograms of B pairs of an 8-bit prediction and a binary ground truth.

    A pair is split into four quadrants at the ground truth's centroid (left-top, right-top,
    left-bottom, right-bottom), as S-measure asks; in each quadrant the prediction's levels are
    counted apart inside and outside the mask. S, F, E and MAE are functions of these integers.
    Levels are then normalised per image by ``(v − min) / (max − min)``, unless the prediction is
    constant, as PySODMetrics does (MATLAB's ``mapminmax``).

    All tensors but the pairs are on the CPU whatever the device of the images: they are small, and
    float64 exists there.

    Attributes:
        counts: ``(B, 4, 2, 256)`` float64 integers: quadrant, ground truth (0 outside the mask,
            1 inside), 8-bit level.
        levels: ``(B, 256)`` float64 normalised value of each level; meaningful where counted.
        adaptive_threshold: ``(B,)`` float64, ``min(2 · mean of the normalised prediction, 1)``.
        is_flat: ``(B, 4)`` bool, whether PySODMetrics finds no variance at all in the prediction
            over a quadrant whose ground truth is constant; meaningless elsewhere.
        pairs: the B pairs ``(H, W)`` themselves, for the weighted F-measure, which depends on where
            the errors lie.

    Source: Fan et al., "Structure-measure", ICCV 2017, for the quadrants.
    """

    counts: Tensor
    levels: Tensor
    adaptive_threshold: Tensor
    is_flat: Tensor
    pairs: list[tuple[Tensor, Tensor]]

    @classmethod
    def from_pairs(
        cls, predictions: Sequence[Tensor], ground_truths: Sequence[Tensor]
    ) -> PairHistograms:
        """Count the pairs.

        Args:
            predictions: uint8 maps ``(1, H, W)`` or ``(H, W)``; sizes may differ between pairs.
            ground_truths: bool maps of the same sizes, true inside the salient object.

        Returns:
            The histograms of the B pairs.

        Raises:
            ValueError: the lists are empty or differ in length, or a pair differs in size, is
                not one channel or has no pixels.
            TypeError: a prediction is not uint8 or a ground truth is not bool.

        >>> prediction = torch.tensor([[0, 255], [0, 255]], dtype=torch.uint8)
        >>> PairHistograms.from_pairs([prediction], [prediction > 0]).counts.shape
        torch.Size([1, 4, 2, 256])
        """
        if len(predictions) != len(ground_truths) or len(predictions) == 0:
            raise ValueError(
                f"predictions has {len(predictions)} maps and ground_truths {len(ground_truths)}, "
                "expected as many, at least one: pair them"
            )
        pairs = [
            _checked_pair(prediction, ground_truth)
            for prediction, ground_truth in zip(predictions, ground_truths, strict=True)
        ]
        centres = [_centre(ground_truth) for _, ground_truth in pairs]
        counts = torch.stack(
            [_count(*pair, *centre) for pair, centre in zip(pairs, centres, strict=True)]
        )
        counts = counts.cpu().double()
        levels = _normalised_levels(counts.sum(dim=(1, 2)))
        return cls(
            counts=counts,
            levels=levels,
            adaptive_threshold=_adaptive_threshold(counts, levels, [pair[0] for pair in pairs]),
            is_flat=_is_flat(counts, levels, [pair[0].shape for pair in pairs], centres),
            pairs=pairs,
        )

    @cached_property
    def true_and_false_positives(self) -> tuple[Tensor, Tensor]:
        """Count the pixels at or above each of the thresholds 0 … 255.

        Two ``(B, 256)`` float64 tensors, inside and outside the mask, by rising threshold. Counted
        once, because F, E, precision and recall all follow from it.
        """
        # PySODMetrics truncates the normalised map to 8 bits again before it thresholds.
        requantised = (self.levels * 255).long().clamp(0, NUM_LEVELS - 1)
        counts = self.counts.sum(dim=1)
        counts = torch.zeros_like(counts).scatter_add(
            dim=2, index=requantised[:, None].expand_as(counts), src=counts
        )
        positives = counts.flip(2).cumsum(2).flip(2)
        return positives[:, 1], positives[:, 0]

    def adaptive_true_and_false_positives(self) -> tuple[Tensor, Tensor]:
        """Count the pixels at or above the adaptive threshold.

        Returns:
            Two ``(B, 1)`` float64 tensors, inside and outside the mask.
        """
        is_positive = self.levels >= self.adaptive_threshold[:, None]
        positives = (self.counts.sum(dim=1) * is_positive[:, None]).sum(dim=2)
        return positives[:, 1:], positives[:, :1]

    def foreground_and_background(self) -> tuple[Tensor, Tensor]:
        """Count the pixels inside and outside the mask: two ``(B, 1)`` float64 tensors."""
        sizes = self.counts.sum(dim=(1, 3))
        return sizes[:, 1:], sizes[:, :1]


def _checked_pair(prediction: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    if prediction.dtype != torch.uint8:
        raise TypeError(
            f"a prediction is of {prediction.dtype}, expected torch.uint8: pass probabilities "
            "through quantise() first"
        )
    if ground_truth.dtype != torch.bool:
        raise TypeError(
            f"a ground truth is of {ground_truth.dtype}, expected torch.bool: threshold it"
        )
    if prediction.shape != ground_truth.shape:
        raise ValueError(
            f"a prediction has the shape {tuple(prediction.shape)}, expected that of its ground "
            f"truth, {tuple(ground_truth.shape)}: resize it with quantise()"
        )
    if prediction.ndim == 3 and prediction.shape[0] == 1:
        prediction, ground_truth = prediction[0], ground_truth[0]
    if prediction.ndim != 2 or prediction.numel() == 0:
        raise ValueError(
            f"a prediction has the shape {tuple(prediction.shape)}, expected (1, H, W) or (H, W): "
            "give one map, not empty"
        )
    return prediction, ground_truth.to(prediction.device)


def _centre(ground_truth: Tensor) -> tuple[int, int]:
    """Return the row and column at which the right and lower quadrants begin."""
    centre = []
    for dim in (1, 0):
        profile = ground_truth.sum(dim=dim, dtype=torch.int32).long()
        positions = torch.arange(len(profile), device=profile.device)
        moment, mass = (profile * positions).sum().item(), profile.sum().item()
        middle = moment / mass if mass else len(profile) / 2
        # MATLAB's 1-based ranges include their end, hence the 1.
        centre.append(round(middle) + 1)
    return centre[0], centre[1]


def _count(prediction: Tensor, ground_truth: Tensor, row: int, column: int) -> Tensor:
    bins = ground_truth.to(torch.int32).mul_(NUM_LEVELS).add_(prediction)
    bins[:, column:] += 2 * NUM_LEVELS
    bins[row:] += 4 * NUM_LEVELS
    return bins.flatten().bincount(minlength=8 * NUM_LEVELS).view(4, 2, NUM_LEVELS)


def _normalised_levels(counts: Tensor) -> Tensor:
    """Return the value each level takes after PySODMetrics' min–max step, in its own rounding."""
    values = torch.arange(NUM_LEVELS, dtype=torch.float64) / 255
    is_present = counts > 0
    lowest = values[is_present.int().argmax(dim=1)][:, None]
    highest = values[NUM_LEVELS - 1 - is_present.flip(1).int().argmax(dim=1)][:, None]
    is_constant = lowest == highest
    spread = torch.where(is_constant, torch.ones_like(highest), highest - lowest)
    return torch.where(is_constant, values, (values - lowest) / spread)


def _adaptive_threshold(counts: Tensor, levels: Tensor, predictions: list[Tensor]) -> Tensor:
    counts = counts.sum(dim=(1, 2))
    mean = (counts * levels).sum(dim=1) / counts.sum(dim=1)
    is_tie = ((levels - 2 * mean[:, None]).abs() < _TIE_TOLERANCE) & (counts > 0)
    for index in is_tie.any(dim=1).nonzero().flatten().tolist():
        # Where a level equals twice the mean, the rounding of the oracle's mean over pixels
        # decides on which side it falls, so that very mean is taken.
        pixels = levels[index].numpy()[predictions[index].cpu().numpy()]
        mean[index] = float(pixels.mean())
    return (2 * mean).clamp(max=1)


def _is_flat(
    counts: Tensor,
    levels: Tensor,
    shapes: list[torch.Size],
    centres: list[tuple[int, int]],
) -> Tensor:
    is_ground_truth_constant = (counts.sum(dim=3) > 0).sum(dim=2) == 1
    is_present = counts.sum(dim=2) > 0
    is_flat = (is_present.sum(dim=2) == 1) & is_ground_truth_constant
    values = levels.gather(1, is_present.int().argmax(dim=2))
    is_exact = (values == 0) | (values == 1)
    for index, quadrant in (is_flat & ~is_exact).nonzero().tolist():
        # The oracle asks whether a variance is exactly zero. Over equal pixels it is, unless the
        # mean of that many copies rounds, so that very mean is taken, in the same memory layout.
        row, column = centres[index]
        rows = slice(0, row) if quadrant < 2 else slice(row, None)
        columns = slice(0, column) if quadrant % 2 == 0 else slice(column, None)
        value = values[index, quadrant].item()
        pixels = np.full(tuple(shapes[index]), value)[rows, columns]
        is_flat[index, quadrant] = bool(pixels.mean() == value)
    return is_flat
