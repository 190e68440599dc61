"""The scores of sets of maps: collected, as a table, and as files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from lightning_modules.evaluation.map_files import MapSet
from lightning_modules.metrics import PROTOCOL, PerImageScores
from lightning_modules.metrics.per_image_scores import dataset_scores
from lightning_modules.metrics.protocol import PROTOCOL_NAME
from lightning_modules.report.escape import escape_csv
from lightning_modules.report.formats import RENDERERS
from lightning_modules.runs.score import SALIENCY_SCORES
from lightning_modules.tables.table import Cell, Row, Table


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


def scores_table(results: Mapping[str, Any]) -> Table:
    """Return a table with one row per data set, which names the protocol."""
    shown = [score for score in SALIENCY_SCORES if score.heading]
    rows = []
    for dataset, scores in results["scores"].items():
        images = f"{results['num_images'][dataset]}{missing_note(results, dataset)}"
        rows.append(Row((dataset, images), tuple(Cell(scores[x.name]) for x in shown)))
    return Table(
        title="Scores of saliency maps",
        label_headings=("Dataset", "Images"),
        columns=tuple(("", score) for score in shown),
        rows=tuple(rows),
        notes=(f"{PROTOCOL}.",),
    )


def format_results(results: Mapping[str, Any], suffix: str) -> str:
    """Write results as `.json` and `.csv` in full precision, as `.md` or `.tex` for readers."""
    if suffix == ".json":
        return json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    return _csv(results) if suffix == ".csv" else RENDERERS[suffix](scores_table(results))


def missing_note(results: Mapping[str, Any], dataset: str) -> str:
    """Say how many images of a data set were left out; empty if none was."""
    missing = results["missing"][dataset]
    counts = [
        f"{len(missing[key])} without {what}"
        for key, what in (("predictions", "prediction"), ("ground_truths", "ground truth"))
        if missing[key]
    ]
    return f" ({', '.join(counts)})" if counts else ""


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
