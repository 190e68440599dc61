"""`mutualformer evaluate`: score saliency maps on disk."""

import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.cli.output import unwritable_is_a_mistake, wide_console, write_output
from lightning_modules.cli.parser import PlainParser, any_path, integer_of_at_least, path_ending_in

if TYPE_CHECKING:
    from lightning_modules.evaluation.map_files import MapSet

_DESCRIPTION = """Score saliency maps on disk against ground truths, as PySODMetrics 1.6 does.

Files are paired by stem, whatever their formats; an ending that all files of a folder share, as in
NAME_ICON.png, is left out where only that makes pairs. To score several sets, repeat --predictions
and --ground-truth, and --name where folder names do not tell the sets apart:

  mutualformer evaluate --predictions maps/SIP --ground-truth data/SIP/GT \\
                        --predictions maps/LFSD --ground-truth data/LFSD/GT --output scores.md
"""
_GENERIC_FOLDERS = ("GT", "gt", "mask", "masks")


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _evaluate(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("evaluate", _DESCRIPTION)
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
        "--curves",
        type=path_ending_in(".png", ".svg"),
        metavar="FILE",
        help="draw precision-recall and F-measure curves: .png .svg",
    )
    add("--device", default="cpu", help="where pixels are counted (default: %(default)s)")
    add(
        "--workers",
        type=integer_of_at_least(0),
        default=0,
        metavar="N",
        help="processes that read and score beside this one (default: %(default)s)",
    )
    add(
        "--allow-missing",
        action="store_true",
        help="score the images that both folders have, and say how many are missing",
    )
    options = parser.parse_args(arguments)

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


def _name_of(folder: Path) -> str:
    folder = folder.resolve()
    return folder.parent.name if folder.name in _GENERIC_FOLDERS else folder.name


def _evaluate(options: Namespace) -> None:
    import torch

    from lightning_modules.evaluation.map_files import pair_maps
    from lightning_modules.evaluation.score_maps import find_device, score_maps
    from lightning_modules.metrics.per_image_files import write_per_image_scores
    from lightning_modules.report.curves_figure import draw_curves
    from lightning_modules.report.formats import print_table
    from lightning_modules.report.score_report import collect_results, format_results, scores_table

    # Images are small: threads would wait for each other longer than they work; use --workers.
    torch.set_num_threads(1)
    device = find_device(options.device)
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
    scores = score_maps(map_sets, device, options.workers)
    results = collect_results(map_sets, scores)
    # Everything is made before anything is written.
    outputs: dict[Path, bytes] = {}
    if options.output:
        outputs[options.output] = format_results(results, options.output.suffix).encode()
    if options.curves:
        outputs[options.curves] = draw_curves(scores, results, options.curves.suffix)

    print_table(scores_table(results), wide_console(120))
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
