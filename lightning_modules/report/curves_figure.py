"""Precision-recall and F-measure curves of data sets, as a figure."""

import io
from collections.abc import Mapping
from typing import Any

from lightning_modules.metrics import PerImageScores
from lightning_modules.report.score_report import missing_note


def draw_curves(scores: PerImageScores, results: Mapping[str, Any], suffix: str) -> bytes:
    """Draw the curves averaged over the images of each data set, as `.png` or `.svg`.

    Left precision over recall, right F-measure over the threshold, 0 to 255; the legend says how
    many images a curve averages and its max F.
    """
    # Not pyplot, which keeps figures.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for dataset in results["scores"]:
        means = {name: x.numpy() for name, x in scores.of_dataset(dataset).means().items()}
        images = f"{results['num_images'][dataset]} images{missing_note(results, dataset)}"
        # Threshold 0 takes every pixel, so its precision tells of the masks alone.
        left.plot(means["recall_curve"][1:], means["precision_curve"][1:], label="_")
        f_max = results["scores"][dataset]["f_max"]
        # A dollar sign would start a formula, and a leading underscore hide the entry.
        label = f"\u200b{dataset}, {images}: max F {f_max:.3f}".replace("$", r"\$")
        right.plot(means["f_curve"], label=label)
    left.set(xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.01))
    right.set(xlabel="Threshold", ylabel="F-measure (β² = 0.3)", xlim=(0, 255), ylim=(0, 1.01))
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize="small")
    figure.suptitle(
        "PySODMetrics 1.6 convention: curves per image, averaged over images", fontsize="medium"
    )
    file = io.BytesIO()
    figure.savefig(file, format=suffix.removeprefix("."), dpi=150)
    return file.getvalue()
