"""`mutualformer table`: the tables and plots of a paper."""

import sys
from argparse import Namespace

from lightning_modules.cli.output import unwritable_is_a_mistake, wide_console
from lightning_modules.cli.parser import (
    PlainParser,
    any_path,
    file_or_name,
    integer_of_at_least,
    path_ending_in,
)
from mutualformer.errors import UserError

_DESCRIPTION = """Make a table, or a plot, of runs beside published numbers, as FILE defines it.

  mutualformer table experiments/tables/epsilon.yaml --output epsilon.tex --plot epsilon.png

FILE may be the name alone of one that comes with the package, as epsilon.

Runs are read from their folders below the working directory. A cell without a run is shown as
missing, with the command that fills it. A row made with other code, protocol, data or settings than
its neighbours is marked. Exit code: 0, also with missing runs; 2 if the definition is wrong, or if
results are damaged or incomplete, which are named below the table.
"""
# Of what is printed to a file or a pipe.
_WIDTH = 140
_SUFFIXES = {"markdown": ".md", "latex": ".tex", "csv": ".csv", "html": ".html"}


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    problems = _make(options)
    return 2 if problems else 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("table", _DESCRIPTION)
    add = parser.add_argument
    add(
        "file",
        type=file_or_name("tables"),
        metavar="FILE",
        help="such as experiments/tables/epsilon.yaml",
    )
    add(
        "--format",
        choices=["terminal", *_SUFFIXES],
        default="terminal",
        help="of what is printed (default: %(default)s)",
    )
    add(
        "--output",
        type=path_ending_in(*_SUFFIXES.values()),
        action="append",
        default=[],
        metavar="PATH",
        help="also write the table, by suffix: .md .tex .csv .html; repeat for several",
    )
    add(
        "--plot",
        type=path_ending_in(".png", ".svg"),
        action="append",
        default=[],
        metavar="PATH",
        help="also draw the scores over the varied parameter: .png .svg; repeat for several",
    )
    add("--folder", type=any_path, metavar="DIR", help="of the sweep's trials, instead of its own")
    add(
        "--config",
        type=file_or_name(),
        action="append",
        default=[],
        metavar="FILE",
        help="of the sweep's trials, in the commands of missing runs, instead of its own; repeat",
    )
    add(
        "--keep",
        action="store_true",
        help="write what this table needs of its runs to results/NAME.jsonl beside the folder of "
        "FILE, as part of the repository, from where it is read where the runs are not",
    )
    add(
        "--resamples",
        type=integer_of_at_least(100),
        default=2000,
        metavar="N",
        help="bootstrap resamples of the intervals (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _make(options: Namespace) -> bool:
    """Make what is asked for; returns whether some results could not be used."""
    from datamodules.files import write_atomically
    from lightning_modules.report.formats import RENDERERS, print_table
    from lightning_modules.report.table_figure import draw_figure
    from lightning_modules.runs.shipped import is_installed_copy
    from lightning_modules.tables.build_table import build_table
    from lightning_modules.tables.cost_columns import add_costs
    from lightning_modules.tables.kept_results import keep_results, kept_path, read_kept
    from lightning_modules.tables.runs import read_runs
    from lightning_modules.tables.table_file import read_table_file

    file = read_table_file(options.file, folder=options.folder, configs=options.config)
    if options.plot and file.plot is None:
        raise UserError(f"{file.path} has no plot: NAME, expected the varied parameter to draw")
    if options.keep and (options.folder or options.config):
        raise UserError("--keep is of the sweep as it is defined: leave out --folder and --config")
    if options.keep and is_installed_copy(file.path):
        raise UserError(
            f"{file.path} is part of an installed package, where --keep would write: give a FILE "
            "of your own, or run it in a clone"
        )
    scores = build_table(file, options.resamples)
    table = add_costs(scores)
    # Everything is made before anything is written.
    outputs = [(path, RENDERERS[path.suffix](table).encode()) for path in options.output]
    outputs += [(path, draw_figure(file, scores, path.suffix)) for path in options.plot]
    kept = kept_path(file.path)
    # Before anything is printed: a pager that is left early ends the command.
    with unwritable_is_a_mistake():
        if options.keep:
            runs, *_ = read_runs(file.rows, read_kept(kept))
            count = keep_results(kept, file.title, runs)
        for path, content in outputs:
            write_atomically(path, content)
    if options.format == "terminal":
        print_table(table, wide_console(_WIDTH))
    else:
        print(RENDERERS[_SUFFIXES[options.format]](table), end="")
    for path, _ in outputs:
        print(f"Wrote {path}", file=sys.stderr)
    if options.keep:
        print(f"Wrote {kept}: the results of {count} runs", file=sys.stderr)
    if table.problems and options.format == "terminal":
        print("error: results are damaged or incomplete, see above", file=sys.stderr)
    elif table.problems:
        for problem in table.problems:
            print(f"error: {problem}", file=sys.stderr)
    return bool(table.problems)
