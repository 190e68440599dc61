"""`mutualformer robustness`: scores when one modality is missing, noisy or shifted."""

import argparse
from argparse import Namespace

from lightning_modules.cli.output import wide_console, write_output
from lightning_modules.cli.parser import PlainParser, add_output_files, any_path, split_settings

_DESCRIPTION = """Test trained runs on their test images, clean and with one modality corrupted.

  mutualformer robustness runs/quickstart runs/concat --corruption depth:noise depth:blank
  mutualformer robustness runs/ablations/fusion --plot robustness.png

RUN is a run, by its folder or its config.yaml, or a folder of runs; its best checkpoint is tested.
Each gets a robustness.json beside its results. What is in it of the same checkpoint, settings, test
images and code is not measured again: an interrupted call goes on, a figure is drawn at once. To
measure anew, delete it. Seeds of one configuration share a row and a line. Kinds:
docs/robustness.md. Settings of where and how it is computed may follow, as flags of test with =
before the value, such as --data.root=DATA.
"""
# Of what is printed to a file or a pipe.
_WIDTH = 140


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options, settings = _parse(arguments)
    _measure(options, settings)
    return 0


def _parse(arguments: list[str]) -> tuple[Namespace, list[str]]:
    parser = PlainParser("robustness", _DESCRIPTION)
    add = parser.add_argument
    add("runs", type=any_path, nargs="+", metavar="RUN")
    add(
        "--corruption",
        nargs="+",
        action="extend",
        metavar="MODALITY[:KIND]",
        help="rgb or depth (whatever the second modality is), and blank, noise, holes, blur, shift "
        "or polarity; without a kind, all of them (default: depth)",
    )
    add(
        "--severities",
        type=_severities,
        default=[0.25, 0.5, 1.0],
        metavar="S,S,...",
        help="numbers in (0, 1] (default: 0.25,0.5,1)",
    )
    add_output_files(parser, "the main score over the severity, a panel per corruption")
    settings, others = split_settings(parser, arguments)
    return parser.parse_args(others), settings


def _severities(text: str) -> list[float]:
    try:
        numbers = sorted({float(word) for word in text.split(",")})
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number <= 1 for number in numbers):
        raise argparse.ArgumentTypeError(
            f"{text!r}, expected numbers in (0, 1] with commas between, such as 0.25,0.5,1; clean "
            "images are always tested"
        )
    return numbers


def _measure(options: Namespace, settings: list[str]) -> None:
    from lightning_modules.cli.configurations import find_sources
    from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
    from lightning_modules.report.formats import RENDERERS, print_table
    from lightning_modules.report.robustness_figure import draw_robustness
    from lightning_modules.robustness.measure_runs import corruptions_of, measure_runs
    from lightning_modules.robustness.table import robustness_table

    silence_what_users_cannot_act_on()
    corruptions = corruptions_of(options.corruption or ["depth"], options.severities)
    sources = find_sources(options.runs)
    measured = measure_runs(sources, corruptions, settings)
    table = robustness_table(measured, corruptions)
    print_table(table, wide_console(_WIDTH))
    written = [run.written for one in measured for run in one.runs if run.written]
    if written:
        print(f"Wrote {written[0]}{f' and {len(written) - 1} more' if written[1:] else ''}")
    if options.output:
        write_output(options.output, RENDERERS[options.output.suffix](table).encode())
    if options.plot:
        write_output(options.plot, draw_robustness(measured, corruptions, options.plot.suffix))
