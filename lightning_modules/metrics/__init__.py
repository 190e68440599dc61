"""Saliency scores that equal PySODMetrics 1.6, as torchmetrics.

``SaliencyScores`` computes all of them from one pass over the pixels. ``SMeasure``, ``EMeasure``,
``FMeasure`` and ``WeightedFMeasure`` stand alone, in any LightningModule: maps in [0, 1] go through
``quantise``, which resizes them to their ground truths and stores them in 8 bits, as the protocol
asks; sums are kept over batches and processes. (The mean absolute error alone is in torchmetrics;
``SaliencyScores`` has that of PySODMetrics, after min–max normalisation.)

>>> import torch
>>> from lightning.pytorch import LightningModule
>>> from lightning_modules.metrics import EMeasure, SMeasure, quantise
>>> class MySaliency(LightningModule):
...     def __init__(self):
...         super().__init__()
...         self.s_measure, self.e_measure = SMeasure(), EMeasure()
...
...     def validation_step(self, batch, batch_idx):
...         saliency = batch["depth"]  # of a network: torch.sigmoid(logits)
...         truths = batch["ground_truth"]  # bool (1, H, W) each, of any sizes
...         maps = [quantise(p, t.shape[-2:]) for p, t in zip(saliency, truths)]
...         self.s_measure.update(maps, truths)
...         self.e_measure.update(maps, truths)
...
...     def on_validation_epoch_end(self):
...         self.log("val/s_measure", self.s_measure.compute())
...         self.log_dict({f"val/{k}": v for k, v in self.e_measure.compute().items()})
...         self.s_measure.reset(), self.e_measure.reset()
>>> module = MySaliency()
>>> truth = torch.zeros(1, 40, 60, dtype=torch.bool)
>>> truth[:, 10:20, 15:30] = True
>>> depth = truth[None, :, ::2, ::2].float()
>>> module.validation_step({"depth": depth, "ground_truth": [truth]}, 0)
>>> round(module.s_measure.compute().item(), 2), sorted(module.e_measure.compute())
(0.97, ['e_adaptive', 'e_max', 'e_mean'])
"""

from typing import TYPE_CHECKING

from mutualformer.lazy import lazy_names

if TYPE_CHECKING:
    from lightning_modules.metrics.pair_histograms import PairHistograms
    from lightning_modules.metrics.per_image_scores import PerImageScores
    from lightning_modules.metrics.protocol import PROTOCOL
    from lightning_modules.metrics.quantisation import quantise
    from lightning_modules.metrics.saliency_scores import SaliencyScores
    from lightning_modules.metrics.single_metrics import (
        EMeasure,
        FMeasure,
        SMeasure,
        WeightedFMeasure,
    )

__all__ = [
    "EMeasure",
    "FMeasure",
    "PROTOCOL",
    "PairHistograms",
    "PerImageScores",
    "SMeasure",
    "SaliencyScores",
    "WeightedFMeasure",
    "quantise",
]

__getattr__ = lazy_names(
    __name__,
    {
        "EMeasure": "lightning_modules.metrics.single_metrics",
        "FMeasure": "lightning_modules.metrics.single_metrics",
        "PROTOCOL": "lightning_modules.metrics.protocol",
        "PairHistograms": "lightning_modules.metrics.pair_histograms",
        "PerImageScores": "lightning_modules.metrics.per_image_scores",
        "SMeasure": "lightning_modules.metrics.single_metrics",
        "SaliencyScores": "lightning_modules.metrics.saliency_scores",
        "WeightedFMeasure": "lightning_modules.metrics.single_metrics",
        "quantise": "lightning_modules.metrics.quantisation",
    },
)
