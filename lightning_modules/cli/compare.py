"""`mutualformer compare`: is a difference in scores real?"""

import json
from argparse import Namespace
from pathlib import Path

from lightning_modules.cli.output import wide_console, write_output
from lightning_modules.cli.parser import PlainParser, any_path, integer_of_at_least, path_ending_in
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError

_DESCRIPTION = """Say whether two runs, or two sets of predictions, differ in their scores.

Each of A and B is the folder of a test run, or a file that evaluate --per-image wrote. Images are
resampled with replacement, the same ones for A and B (paired bootstrap): the 95 % interval is that
of B − A, and a difference is called real where it leaves out zero. It tells of the choice of test
images, not of the random seed of a training: for that, train several times.
"""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _compare(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("compare", _DESCRIPTION)
    parser.add_argument("a", type=any_path, metavar="RUN_A")
    parser.add_argument("b", type=any_path, metavar="RUN_B")
    parser.add_argument(
        "--resamples",
        type=integer_of_at_least(100),
        default=10000,
        metavar="N",
        help="bootstrap resamples (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=path_ending_in(".json"),
        metavar="FILE.json",
        help="also write the comparison to a file",
    )
    return parser.parse_args(arguments)


def _compare(options: Namespace) -> None:
    from lightning_modules.evaluation.paired_bootstrap import compare_scores
    from lightning_modules.metrics.per_image_files import read_per_image_scores
    from lightning_modules.report.comparison_report import collect_comparison, print_comparison

    paths = [_table_of(path) for path in (options.a, options.b)]
    a, b = (read_per_image_scores(path) for path in paths)
    differences = compare_scores(a, b, options.resamples)
    comparison = collect_comparison(str(paths[0]), str(paths[1]), a, b, differences)
    comparison["num_resamples"] = options.resamples
    print_comparison(comparison, wide_console(100))
    if options.output:
        text = json.dumps(comparison, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        write_output(options.output, text.encode())


def _table_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    table = RunFolder(path).per_image_scores
    if not table.is_file():
        raise UserError(
            f"{path}: no {table.name} in this folder; expected the folder of a run after "
            "mutualformer test"
        )
    return table
