"""`mutualformer cost`: what configurations cost, beside their scores."""

import os
import sys
from argparse import Namespace

from lightning_modules.cli.output import wide_console, write_output
from lightning_modules.cli.parser import PlainParser, add_output_files, file_or_name, split_settings
from mutualformer.errors import UserError

_DESCRIPTION = """Measure what networks cost: parameters, FLOPs, milliseconds and memory of an image
and of a training step, at the resolution, batch and loss of each configuration.

  mutualformer cost runs/ablations/fusion --plot cost.png
  mutualformer cost experiments/rgbd_sod_2185.yaml --model.network.fusion.name=cmx

CONFIG is a run, by its folder or its config.yaml, a folder of runs, or an experiment. Runs get a
cost.json beside their results, which mutualformer table shows; seeds of one configuration are
measured once. Settings may follow, as flags of fit with = before the value; those of the trainer
and of data.root also for runs. Each configuration takes some ten seconds.
"""
# Of what is printed to a file or a pipe.
_WIDTH = 140
_X = ("params_m", "gflops", "ms", "mib", "step_gflops", "step_ms", "step_mib")
_DEFAULT_X = "gflops"


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options, settings = _parse(arguments)
    _measure(options, settings)
    return 0


def _parse(arguments: list[str]) -> tuple[Namespace, list[str]]:
    parser = PlainParser("cost", _DESCRIPTION)
    add = parser.add_argument
    add("configs", type=file_or_name(), nargs="+", metavar="CONFIG")
    add_output_files(parser, "the main score of runs over a cost")
    add("--x", choices=_X, help=f"the cost in that plot (default: {_DEFAULT_X})")
    settings, others = split_settings(parser, arguments)
    options = parser.parse_args(others)
    if options.x and not options.plot:
        parser.error(f"--x is {options.x} without a plot, expected --plot FILE beside it")
    return options, settings


def _measure(options: Namespace, settings: list[str]) -> None:
    # The profiler, of which only the memory is read, would tell of devices it does not find.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    from lightning_modules.cli.configurations import find_sources
    from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
    from lightning_modules.costs.columns import costs_table
    from lightning_modules.costs.measure_all import measure_all
    from lightning_modules.report.cost_figure import draw_costs
    from lightning_modules.report.formats import RENDERERS, print_table

    silence_what_users_cannot_act_on()
    sources = find_sources(options.configs)
    runs = [source.run for source in sources if source.run is not None]
    if options.plot and not any(run.finished_results() for run in runs):
        raise UserError(
            f"--plot {options.plot}: no CONFIG is a run with results, expected some to draw: run "
            "mutualformer test first"
        )
    measured = measure_all(sources, settings)
    table = costs_table([(one.label, one.cost) for one in measured])
    print_table(table, wide_console(_WIDTH))
    if runs:
        others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        print(f"Wrote {runs[0].cost}{others}")
    if options.output:
        write_output(options.output, RENDERERS[options.output.suffix](table).encode())
    if options.plot:
        figure, without_scores = draw_costs(measured, options.x or _DEFAULT_X, options.plot.suffix)
        for name in without_scores:
            print(f"{name} has no results: not in the plot", file=sys.stderr)
        write_output(options.plot, figure)
