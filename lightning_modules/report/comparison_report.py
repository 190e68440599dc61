"""A comparison of two methods, as JSON and in the terminal."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console

from lightning_modules.evaluation.paired_bootstrap import CONFIDENCE, SEED, Difference
from lightning_modules.metrics.image_records import ImageRecords
from lightning_modules.report.formats import print_table
from lightning_modules.runs.score import Score
from lightning_modules.tables.table import Cell, Interval, Row, Table

# Below this, the quantiles of a bootstrap are known to lie too close together.
FEW_IMAGES = 30
_METHOD = (
    "paired bootstrap over images, percentile interval of b - a; curves are averaged, or confusion "
    "matrices summed, over each resample before a score is taken of them"
)


def collect_comparison(
    path_a: str,
    path_b: str,
    a: ImageRecords,
    b: ImageRecords,
    differences: Mapping[str, Mapping[str, Difference]],
) -> dict[str, Any]:
    """Return everything that a reader of the numbers must know."""
    return {
        "a": path_a,
        "b": path_b,
        "method": _METHOD,
        "confidence": CONFIDENCE,
        "seed": SEED,
        "protocol": a.protocol,
        "curves": bool(a.counts and b.counts),
        "only_in_a": sorted(set(a.datasets) - set(b.datasets)),
        "only_in_b": sorted(set(b.datasets) - set(a.datasets)),
        "num_images": {dataset: a.datasets.count(dataset) for dataset in differences},
        "differences": {
            dataset: {name: asdict(difference) for name, difference in scores.items()}
            for dataset, scores in differences.items()
        },
    }


def print_comparison(comparison: Mapping[str, Any], console: Console) -> None:
    """Print one table per data set, then what the reader should know."""

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"A: {comparison['a']}\nB: {comparison['b']}\n")
    for dataset in comparison["differences"]:
        print_table(_table(comparison, dataset), console)
    if not comparison["curves"]:
        say(
            "Max and mean F and E are left out: the .npz file beside a table of per-image scores "
            "is missing, and they follow from its curves only."
        )
    for side in ("a", "b"):
        if comparison[f"only_in_{side}"]:
            say(f"Only in {side.upper()}: {', '.join(comparison[f'only_in_{side}'])}")
    say(
        f"{comparison['num_resamples']} resamples of the images, the same for A and B. "
        "Better: the interval leaves out zero.\n"
        "The interval tells of the choice of test images, not of the seed of the training."
    )


def _table(comparison: Mapping[str, Any], dataset: str) -> Table:
    num_images = comparison["num_images"][dataset]
    rows = []
    for name, of_score in comparison["differences"][dataset].items():
        a, b = of_score["a"], of_score["b"]
        better = {"a": "A", "b": "B", None: "–"}[of_score["better"]]
        interval = Interval(b - a, of_score["low"], of_score["high"])
        rows.append(Row((name, better), (Cell(a), Cell(b, interval=interval))))
    few = f"{num_images} images are few: the true interval is wider."
    return Table(
        title=f"{dataset}, {num_images} images",
        label_headings=("Score", "Better"),
        columns=(("", Score("a", "A")), ("", Score("b", "B"))),
        headings=("A", "B, B − A and its 95 % interval"),
        rows=tuple(rows),
        digits=4,
        notes=(few,) if num_images < FEW_IMAGES else (),
    )
