"""`mutualformer evaluate`: score predictions on disk."""

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_modules.cli.output import unwritable_is_a_mistake, wide_console, write_output
from lightning_modules.cli.parser import PlainParser, any_path, path_ending_in
from lightning_modules.tasks import TASKS

if TYPE_CHECKING:
    from lightning_modules.evaluation.map_files import MapSet

_DESCRIPTION = """Score predictions on disk against ground truths, of one of these tasks:

{tasks}

Files are paired by stem, whatever their formats; an ending that all files of a folder share, as in
NAME_ICON.png, is left out where only that makes pairs. To score several sets, repeat --predictions
and --ground-truth, and --name where folder names do not tell the sets apart:

{examples}
"""
_GENERIC_FOLDERS = ("GT", "gt", "mask", "masks", "Label", "label", "Labels", "labels")


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _evaluate(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    tasks = "\n".join(f"  {name:13} {task.files}" for name, task in TASKS.items())
    examples = "\n".join(f"  mutualformer evaluate {task.example}" for task in TASKS.values())
    parser = PlainParser("evaluate", _DESCRIPTION.format(tasks=tasks, examples=examples))
    add = parser.add_argument
    add("--predictions", type=any_path, action="append", required=True, metavar="DIR")
    add("--ground-truth", type=any_path, action="append", required=True, metavar="DIR")
    add(
        "--name", action="append", help="name of the data set; by default the ground truth folder's"
    )
    add(
        "--output",
        type=path_ending_in(".json", ".csv", ".md", ".tex"),
        metavar="FILE",
        help="write the scores, by suffix: .json .csv .md .tex",
    )
    add(
        "--per-image",
        type=path_ending_in(".csv"),
        metavar="FILE.csv",
        help="write the scores of every image, and beside it the .npz that compare reads",
    )
    add(
        "--task",
        choices=tuple(TASKS),
        default=next(iter(TASKS)),
        help="what the files are (default: %(default)s)",
    )
    for flag, settings in _options_of_tasks().items():
        owners = " and ".join(name for name, task in TASKS.items() if flag in task.options)
        add(flag, **{**settings, "help": f"of {owners}: {settings['help']}"})
    add(
        "--allow-missing",
        action="store_true",
        help="score the images that both folders have, and say how many are missing",
    )
    options = parser.parse_args(arguments)

    _check_task(parser, options)
    if len(options.predictions) != len(options.ground_truth):
        parser.error(
            f"{len(options.predictions)} --predictions and {len(options.ground_truth)} "
            "--ground-truth, expected as many of one as of the other"
        )
    if options.name is None:
        options.name = [_name_of(folder) for folder in options.ground_truth]
    if len(options.name) != len(options.predictions):
        parser.error(
            f"{len(options.name)} --name for {len(options.predictions)} --predictions, expected "
            "one for each or none"
        )
    name, count = Counter(options.name).most_common(1)[0]
    if count > 1:
        parser.error(f"{count} sets are called {name!r}: tell them apart, with one --name for each")
    if options.output is not None and options.output == options.per_image:
        parser.error(f"--output and --per-image are both {options.output}, expected two files")
    return options


def _check_task(parser: PlainParser, options: Namespace) -> None:
    """Refuse options that other tasks have and this one does not."""
    for flag in _options_of_tasks():
        name = flag.removeprefix("--").replace("-", "_")
        is_given = getattr(options, name) != parser.get_default(name)
        if is_given and flag not in TASKS[options.task].options:
            parser.error(f"{flag} is given, which --task {options.task} has not: leave it out")


def _options_of_tasks() -> dict[str, Mapping[str, Any]]:
    return {flag: settings for task in TASKS.values() for flag, settings in task.options.items()}


def _name_of(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name in _GENERIC_FOLDERS else folder.name


def _evaluate(options: Namespace) -> None:
    import torch

    from lightning_modules.evaluation.map_files import pair_maps
    from lightning_modules.metrics.per_image_files import write_per_image_scores
    from lightning_modules.report.formats import print_table
    from lightning_modules.report.score_report import (
        class_table,
        collect_results,
        format_results,
        scores_table,
    )

    # Images are small: threads would wait for each other longer than they work; use --workers.
    torch.set_num_threads(1)
    map_sets = [
        pair_maps(name, predictions, ground_truth, options.allow_missing)
        for name, predictions, ground_truth in zip(
            options.name, options.predictions, options.ground_truth, strict=True
        )
    ]
    for map_set in map_sets:
        if map_set.endings:
            ending = " and ".join(map_set.endings)
            print(f"{map_set.name}: names are paired without {ending}", file=sys.stderr)
    task = TASKS[options.task]
    scores = task.score_files(options, map_sets)
    results = collect_results(map_sets, scores)
    # Everything is made before anything is written.
    outputs: dict[Path, bytes] = {}
    if options.output:
        outputs[options.output] = format_results(results, options.output.suffix, scores).encode()
    outputs |= task.further_outputs(options, scores, results)

    print_table(scores_table(results, scores.overview), wide_console(120))
    if scores.classes:
        of_classes = scores.descriptions[-len(scores.classes) :]
        print_table(class_table(results, of_classes), wide_console(120))
    for path, content in outputs.items():
        write_output(path, content)
    if options.per_image:
        with unwritable_is_a_mistake():
            write_per_image_scores(options.per_image, scores, _unscored(map_sets))
        print(f"Wrote {options.per_image}")


def _unscored(map_sets: list["MapSet"]) -> list[tuple[str, str, str]]:
    return [
        (map_set.name, stem, status)
        for map_set in map_sets
        for status, stems in (
            ("no prediction", map_set.missing_predictions),
            ("no ground truth", map_set.missing_ground_truths),
        )
        for stem in stems
    ]
