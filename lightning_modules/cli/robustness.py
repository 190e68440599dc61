"""`mutualformer robustness`: scores when one modality is missing, noisy or shifted."""

import argparse
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.cli.output import unwritable_is_a_mistake, wide_console, write_output
from lightning_modules.cli.parser import (
    PlainParser,
    add_output_files,
    any_path,
    path_ending_in,
    split_settings,
)
from lightning_modules.runs.shipped import find_shipped, is_installed_copy
from mutualformer.errors import UserError

if TYPE_CHECKING:
    from datamodules.augmentation.corruption import Corruption
    from lightning_modules.robustness.measure_runs import Robustness

_DESCRIPTION = """Test trained runs on their test images, clean and with one modality corrupted.

  mutualformer robustness runs/quickstart runs/concat --corruption depth:noise depth:blank
  mutualformer robustness runs/ablations/fusion --plot robustness.png
  mutualformer robustness modality_dropout_robustness.json --plot robustness.png

RUN is a run, by its folder or its config.yaml, or a folder of runs; its best checkpoint is tested.
Each gets a robustness.json beside its results. What is in it of the same checkpoint, settings, test
images and code is not measured again: an interrupted call goes on, a figure is drawn at once. To
measure anew, delete it. Seeds of one configuration share a row and a line. A .json file that --keep
wrote stands for the runs, where they are not: nothing is tested. Kinds: docs/robustness.md.
Settings of where and how it is computed may follow, as flags of test with = before the value, such
as --data.root=DATA.
"""
_CORRUPTION, _SEVERITIES = ["depth"], [0.25, 0.5, 1.0]
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
        "or polarity; without a kind, all of them (default: depth; of kept scores, all there are)",
    )
    add(
        "--severities",
        type=_severities,
        metavar="S,S,...",
        help="numbers in (0, 1] (default: 0.25,0.5,1; of kept scores, all there are)",
    )
    add(
        "--reference",
        metavar="WORDS",
        help="compare all with the configuration that the table names so, seed by seed, or each "
        "with the one that is otherwise the same: modality_dropout=0",
    )
    add_output_files(parser, "the main score over the severity, a panel per corruption")
    add(
        "--keep",
        type=path_ending_in(".json"),
        metavar="FILE",
        help="write the scores of all of these runs to a small .json file, as part of a repository",
    )
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
    from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
    from lightning_modules.report.formats import RENDERERS, print_table
    from lightning_modules.report.robustness_figure import draw_robustness
    from lightning_modules.robustness.kept_robustness import keep_robustness
    from lightning_modules.robustness.table import robustness_table

    silence_what_users_cannot_act_on()
    if options.keep and is_installed_copy(options.keep):
        raise UserError(f"--keep {options.keep} is part of an installed package: choose another")
    files = [path for path in options.runs if path.suffix == ".json" and not path.is_dir()]
    kept = [find_shipped(path, "results") for path in files]
    read = _read_kept if kept else _test_runs
    measured, corruptions = read(kept or options.runs, options, settings)
    table = robustness_table(measured, corruptions, options.reference)
    print_table(table, wide_console(_WIDTH))
    written = [run.file for one in measured for run in one.runs if run.is_new]
    if written:
        print(f"Wrote {written[0]}{f' and {len(written) - 1} more' if written[1:] else ''}")
    if options.keep:
        with unwritable_is_a_mistake():
            keep_robustness(options.keep, measured, corruptions)
        print(f"Wrote {options.keep}")
    if options.output:
        write_output(options.output, RENDERERS[options.output.suffix](table).encode())
    if options.plot:
        write_output(options.plot, draw_robustness(measured, corruptions, options.plot.suffix))


def _test_runs(
    runs: list[Path], options: Namespace, settings: list[str]
) -> "tuple[list[Robustness], list[Corruption]]":
    from lightning_modules.cli.configurations import find_sources
    from lightning_modules.robustness.differences import find_references
    from lightning_modules.robustness.measure_runs import (
        configurations_of,
        corruptions_of,
        measure_runs,
    )

    words, severities = options.corruption or _CORRUPTION, options.severities or _SEVERITIES
    corruptions = corruptions_of(words, severities)
    sources = find_sources(runs)
    if options.reference is not None:  # before hours are spent
        find_references([label for label, _ in configurations_of(sources)], options.reference)
    to_keep = options.keep is not None
    return measure_runs(sources, corruptions, settings, to_keep=to_keep), corruptions


def _read_kept(
    files: list[Path], options: Namespace, settings: list[str]
) -> "tuple[list[Robustness], list[Corruption]]":
    from lightning_modules.robustness.kept_robustness import chosen_of, read_kept_robustness

    path = files[0]
    if len(options.runs) > 1:
        raise UserError(f"{path} holds kept scores: give it alone, without other runs")
    if settings or options.keep:
        typed = settings[0] if settings else f"--keep {options.keep}"
        raise UserError(f"{path} holds kept scores, and nothing is tested: leave out {typed}")
    measured, corruptions = read_kept_robustness(path)
    return measured, chosen_of(path, corruptions, options.corruption, options.severities)
