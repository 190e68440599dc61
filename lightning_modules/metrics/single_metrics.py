"""S, F, E and weighted F, each as a torchmetric of its own."""

from torch import Tensor

from lightning_modules.metrics.e_measure import e_measures
from lightning_modules.metrics.f_measure import f_measures
from lightning_modules.metrics.pair_histograms import NUM_LEVELS, PairHistograms
from lightning_modules.metrics.per_image_scores import curve_scores
from lightning_modules.metrics.s_measure import s_measures
from lightning_modules.metrics.saliency_metric import SaliencyMetric
from lightning_modules.metrics.weighted_f_measure import weighted_f_measures


class SMeasure(SaliencyMetric):
    """Average the S-measure over images; ``compute`` gives a scalar.

    >>> import torch
    >>> metric = SMeasure()
    >>> metric.update([torch.zeros(1, 8, 8, dtype=torch.uint8)], [torch.zeros(1, 8, 8).bool()])
    >>> metric.compute().item()
    1.0
    """

    higher_is_better = True
    value_shapes = {"s_measure": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``s_measure`` ``(B,)``."""
        return {"s_measure": s_measures(histograms)}

    def compute(self) -> Tensor:
        """Return the mean over images; RuntimeError if none was seen."""
        return self.means()["s_measure"]


class FMeasure(SaliencyMetric):
    """Average F-measure over images: ``compute`` gives ``f_max``, ``f_mean``, ``f_adaptive``.

    ``f_max`` and ``f_mean`` are the maximum and the mean over thresholds of the curve averaged
    over images; ``f_adaptive`` is the adaptive value averaged over images.

    >>> import torch
    >>> metric = FMeasure()
    >>> metric.update([torch.tensor([[255, 0]]).byte()], [torch.tensor([[True, False]])])
    >>> {name: round(value.item(), 3) for name, value in metric.compute().items()}
    {'f_max': 1.0, 'f_mean': 0.998, 'f_adaptive': 1.0}
    """

    higher_is_better = True
    value_shapes = {"f_curve": (NUM_LEVELS,), "f_adaptive": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``f_curve`` ``(B, 256)`` and ``f_adaptive`` ``(B,)``."""
        curves, adaptive = f_measures(histograms)
        return {"f_curve": curves, "f_adaptive": adaptive}

    def compute(self) -> dict[str, Tensor]:
        """Return the three scores; RuntimeError if no image was seen."""
        return curve_scores("f", self.means())


class EMeasure(SaliencyMetric):
    """Average E-measure over images: ``compute`` gives ``e_max``, ``e_mean``, ``e_adaptive``.

    ``e_max`` and ``e_mean`` are the maximum and the mean over thresholds of the curve averaged
    over images; ``e_adaptive`` is the adaptive value averaged over images.

    >>> import torch
    >>> metric = EMeasure()
    >>> metric.update([torch.zeros(1, 8, 8, dtype=torch.uint8)], [torch.zeros(1, 8, 8).bool()])
    >>> sorted(metric.compute())
    ['e_adaptive', 'e_max', 'e_mean']
    """

    higher_is_better = True
    value_shapes = {"e_curve": (NUM_LEVELS,), "e_adaptive": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``e_curve`` ``(B, 256)`` and ``e_adaptive`` ``(B,)``."""
        curves, adaptive = e_measures(histograms)
        return {"e_curve": curves, "e_adaptive": adaptive}

    def compute(self) -> dict[str, Tensor]:
        """Return the three scores; RuntimeError if no image was seen."""
        return curve_scores("e", self.means())


class WeightedFMeasure(SaliencyMetric):
    """Average the weighted F-measure over images; ``compute`` gives a scalar.

    >>> import torch
    >>> metric = WeightedFMeasure()
    >>> metric.update([torch.tensor([[255, 0]]).byte()], [torch.tensor([[True, False]])])
    >>> round(metric.compute().item(), 6)
    1.0
    """

    higher_is_better = True
    value_shapes = {"f_weighted": ()}

    def per_image(self, histograms: PairHistograms) -> dict[str, Tensor]:
        """Return ``f_weighted`` ``(B,)``."""
        return {"f_weighted": weighted_f_measures(histograms)}

    def compute(self) -> Tensor:
        """Return the mean over images; RuntimeError if none was seen."""
        return self.means()["f_weighted"]
