"""The scores of sets of maps as text: terminal table, JSON, CSV, Markdown, LaTeX."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lightning_modules.evaluation.map_files import MapSet
from lightning_modules.metrics import PROTOCOL, PerImageScores
from lightning_modules.metrics.per_image_scores import dataset_scores
from lightning_modules.metrics.protocol import PROTOCOL_NAME
from lightning_modules.metrics.score_names import HEADINGS, LOWER_IS_BETTER
from lightning_modules.report.escape import (
    escape_csv,
    escape_latex,
    escape_markdown,
    escape_terminal,
)


def collect_results(map_sets: Sequence[MapSet], scores: PerImageScores) -> dict[str, Any]:
    """Return scores and provenance, with the keys of a run's `results.json` where they agree."""
    return {
        "scores": {
            map_set.name: {
                name: value.item()
                for name, value in dataset_scores(scores.of_dataset(map_set.name).means()).items()
            }
            for map_set in map_sets
        },
        "num_images": {map_set.name: len(map_set.pairs) for map_set in map_sets},
        "missing": {
            map_set.name: {
                "predictions": map_set.missing_predictions,
                "ground_truths": map_set.missing_ground_truths,
            }
            for map_set in map_sets
        },
        "protocol": PROTOCOL,
        "predictions": {map_set.name: str(map_set.predictions) for map_set in map_sets},
        "ground_truths": {map_set.name: str(map_set.ground_truths) for map_set in map_sets},
        "packages": {package: version(package) for package in ("mutualformer", "torch", "scipy")},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def format_results(results: Mapping[str, Any], suffix: str) -> str:
    """Write results as `.json`, `.csv`, `.md` or `.tex`."""
    return {".json": _json, ".csv": _csv, ".md": _markdown, ".tex": _latex}[suffix](results)


def terminal_table(results: Mapping[str, Any]) -> Table:
    """Return a table of the scores, to the third decimal, that names the protocol."""
    table = Table(box=box.SIMPLE_HEAD, caption=f"{PROTOCOL}.", caption_justify="left", padding=0)
    table.padding = (0, 1)
    for index, heading in enumerate(["Dataset", "Images", *HEADINGS.values()]):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in _rows(results):
        # As plain text: brackets in a name are no markup.
        table.add_row(*(Text(escape_terminal(cell)) for cell in row))
    return table


def missing_note(results: Mapping[str, Any], dataset: str) -> str:
    """Say how many images of a data set were left out; empty if none was."""
    missing = results["missing"][dataset]
    counts = [
        f"{len(missing[key])} without {what}"
        for key, what in (("predictions", "prediction"), ("ground_truths", "ground truth"))
        if missing[key]
    ]
    return f" ({', '.join(counts)})" if counts else ""


def _rows(results: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            dataset,
            f"{results['num_images'][dataset]}{missing_note(results, dataset)}",
            *(f"{scores[name]:.3f}" for name in HEADINGS),
        ]
        for dataset, scores in results["scores"].items()
    ]


def _json(results: Mapping[str, Any]) -> str:
    return json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _csv(results: Mapping[str, Any]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    scores = next(iter(results["scores"].values()))
    counts = ["num_images", "num_missing_predictions", "num_missing_ground_truths"]
    writer.writerow(["dataset", *counts, *scores, "protocol"])
    for dataset, values in results["scores"].items():
        missing = [len(stems) for stems in results["missing"][dataset].values()]
        numbers = [repr(value) for value in values.values()]
        writer.writerow(
            [escape_csv(dataset), results["num_images"][dataset], *missing, *numbers, PROTOCOL_NAME]
        )
    return text.getvalue()


def _markdown(results: Mapping[str, Any]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    headings = ["Dataset", "Images", *HEADINGS.values()]
    rule = ["---", *["---:"] * (len(headings) - 1)]
    rows = [[escape_markdown(row[0]), *row[1:]] for row in _rows(results)]
    return "\n".join([line(headings), line(rule), *map(line, rows), "", f"{PROTOCOL}.", ""])


def _latex(results: Mapping[str, Any]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"    {' & '.join(cells)} \\\\"

    arrows = [
        f"{heading} $\\{'downarrow' if name in LOWER_IS_BETTER else 'uparrow'}$"
        for name, heading in HEADINGS.items()
    ]
    rows = [[escape_latex(row[0]), *row[1:]] for row in _rows(results)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "  \\centering",
            f"  \\caption{{{PROTOCOL}.}}",
            f"  \\begin{{tabular}}{{l{'r' * (len(HEADINGS) + 1)}}}",
            "    \\toprule",
            line(["Dataset", "Images", *arrows]),
            "    \\midrule",
            *map(line, rows),
            "    \\bottomrule",
            "  \\end{tabular}",
            "\\end{table}",
            "",
        ]
    )
