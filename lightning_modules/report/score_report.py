"""The scores of sets of maps: collected, as a table, and as files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Any

from lightning_modules.evaluation.map_files import MapSet
from lightning_modules.metrics.image_records import ImageRecords
from lightning_modules.report.escape import escape_csv
from lightning_modules.report.formats import RENDERERS
from lightning_modules.runs.score import Score
from lightning_modules.tables.table import Cell, Row, Table


def collect_results(map_sets: Sequence[MapSet], scores: ImageRecords) -> dict[str, Any]:
    """Return scores and provenance, with the keys of a run's `results.json` where they agree."""
    return {
        "scores": {
            map_set.name: {
                name: value.item() if value.isfinite() else None  # a class that is nowhere
                for name, value in scores.of_dataset(map_set.name).scores().items()
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
        "score_descriptions": [asdict(score) for score in scores.descriptions],
        "protocol": scores.protocol,
        "predictions": {map_set.name: str(map_set.predictions) for map_set in map_sets},
        "ground_truths": {map_set.name: str(map_set.ground_truths) for map_set in map_sets},
        "packages": {package: version(package) for package in ("mutualformer", "torch", "scipy")},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def scores_table(results: Mapping[str, Any], shown: Sequence[Score]) -> Table:
    """Return a table with one row per data set, which names the protocol."""
    rows = []
    for dataset, scores in results["scores"].items():
        images = f"{results['num_images'][dataset]}{missing_note(results, dataset)}"
        rows.append(Row((dataset, images), tuple(Cell(scores[x.name]) for x in shown)))
    return Table(
        title="Scores of predictions",
        label_headings=("Dataset", "Images"),
        columns=tuple(("", score) for score in shown),
        rows=tuple(rows),
        notes=(f"{results['protocol']}.",),
    )


def class_table(results: Mapping[str, Any], classes: Sequence[Score]) -> Table:
    """Return a table with the IoU of every class, one column per data set."""
    datasets = list(results["scores"])
    headings = ["IoU"] if len(datasets) == 1 else datasets
    return Table(
        title="Classes",
        label_headings=("Class",),
        columns=tuple((dataset, Score("iou", "IoU")) for dataset in datasets),
        headings=tuple(headings),
        rows=tuple(
            Row(
                (score.heading.removeprefix("IoU "),),
                tuple(Cell(results["scores"][dataset][score.name]) for dataset in datasets),
            )
            for score in classes
        ),
    )


def format_results(results: Mapping[str, Any], suffix: str, records: ImageRecords) -> str:
    """Write results as `.json` and `.csv` in full precision, as `.md` or `.tex` for readers."""
    if suffix == ".json":
        return json.dumps(results, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    if suffix == ".csv":
        return _csv(results, records.protocol_name)
    return RENDERERS[suffix](scores_table(results, records.overview))


def missing_note(results: Mapping[str, Any], dataset: str) -> str:
    """Say how many images of a data set were left out; empty if none was."""
    missing = results["missing"][dataset]
    counts = [
        f"{len(missing[key])} without {what}"
        for key, what in (("predictions", "prediction"), ("ground_truths", "ground truth"))
        if missing[key]
    ]
    return f" ({', '.join(counts)})" if counts else ""


def _csv(results: Mapping[str, Any], protocol_name: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    scores = next(iter(results["scores"].values()))
    counts = ["num_images", "num_missing_predictions", "num_missing_ground_truths"]
    writer.writerow(["dataset", *counts, *scores, "protocol"])
    for dataset, values in results["scores"].items():
        missing = [len(stems) for stems in results["missing"][dataset].values()]
        numbers = ["" if value is None else repr(value) for value in values.values()]
        writer.writerow(
            [escape_csv(dataset), results["num_images"][dataset], *missing, *numbers, protocol_name]
        )
    return text.getvalue()
