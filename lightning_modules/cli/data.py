"""`mutualformer data`: what data sets there are, and what is wrong with them on disk."""

import os
import sys
from argparse import Namespace
from functools import partial

from lightning_modules.cli import data_prepare, data_render
from lightning_modules.cli.output import wide_console, write_output
from lightning_modules.cli.parser import PlainParser, any_path, integer_of_at_least, path_ending_in
from lightning_modules.report.escape import escape_terminal

_LIST_DESCRIPTION = """Print the catalogue of public data sets: other names, numbers of pairs,
depth convention, terms, where to get them and what to cite.
"""
_CHECK_DESCRIPTION = """Read every file of all data sets below a folder and say what is wrong:
counts, pairing, unreadable files, sizes, values, depth polarity, constant maps, images that are in
a training and a test set, and of data sets with classes the labels, lists and class frequencies.

  mutualformer data check DATA --output check.json --contact-sheet check.png

Folders are found under any name in circulation (see mutualformer data list), nested or not.
Exit code: 0 all well, 1 something to mend, 2 a mistake on the command line.
"""
_MOST_SHOWN = 40


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] not in SUBCOMMANDS:
        known = ", ".join(SUBCOMMANDS)
        print(
            f"error: unknown subcommand {arguments[0]!r}, expected one of {known}; "
            "try mutualformer data --help",
            file=sys.stderr,
        )
        return 2
    return SUBCOMMANDS[arguments[0]][0](arguments[1:])


def _usage() -> str:
    lines = [f"  {name:<9} {purpose}" for name, (_, purpose) in SUBCOMMANDS.items()]
    return (
        "usage: mutualformer data <subcommand> [options]\n\nsubcommands:\n"
        + "\n".join(lines)
        + "\n\nmutualformer data <subcommand> --help lists the options of a subcommand."
    )


def _run_list(arguments: list[str]) -> int:
    parser = PlainParser("data list", _LIST_DESCRIPTION)
    _add_output(parser, "write the catalogue, with all fields")
    options = parser.parse_args(arguments)
    from datamodules.catalogue import read_catalogue
    from lightning_modules.report.data_tables import catalogue_json, catalogue_tables

    entries = read_catalogue()
    console = wide_console(150)
    for table in catalogue_tables(entries):
        console.print(table)
    if options.output:
        write_output(options.output, catalogue_json(entries).encode())
    return 0


def _run_check(arguments: list[str]) -> int:
    options = _parse_check(arguments)
    return _check(options)


def _parse_check(arguments: list[str]) -> Namespace:
    parser = PlainParser("data check", _CHECK_DESCRIPTION)
    parser.add_argument("root", type=any_path, metavar="ROOT")
    _add_output(parser, "write all findings and what was seen of each data set")
    parser.add_argument(
        "--label-map",
        metavar="NAME|FILE",
        help="what the values of label images mean, of data sets for semantic segmentation that "
        "the catalogue does not know: nyu40, mfnet, …, or a YAML file with classes, void, offset",
    )
    add = parser.add_argument
    png = path_ending_in(".png")
    add("--contact-sheet", type=png, metavar="FILE.png", help="draw samples of every data set")
    add(
        "--workers",
        type=integer_of_at_least(0),
        default=min(8, os.cpu_count() or 1),
        metavar="N",
        help="processes that read beside this one (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _check(options: Namespace) -> int:
    import cv2
    from rich.console import Console
    from rich.progress import Progress

    from datamodules.check import check_root, draw_contact_sheet
    from datamodules.label_map import read_label_map
    from lightning_modules.report.data_tables import check_json, check_table, class_tables

    # Images are small: threads would wait for each other longer than they work; use --workers.
    cv2.setNumThreads(1)
    label_map = None if options.label_map is None else read_label_map(options.label_map)
    with Progress(console=Console(stderr=True)) as progress:
        report = check_root(
            options.root,
            options.workers,
            lambda inspections, total: progress.track(inspections, total, description="Reading"),
            label_map,
        )
    content = check_json(report).encode()
    console = wide_console(150)
    console.print(check_table(report))
    for table in class_tables(report):
        console.print(table)
    findings = report.findings
    for finding in findings[:_MOST_SHOWN]:
        # As plain text: brackets in a file's name are no markup.
        kind = "error" if finding.is_error else "notice"
        print(f"{kind}: {escape_terminal(finding.message)}")
    if len(findings) > _MOST_SHOWN:
        rest = len(findings) - _MOST_SHOWN
        print(f"… and {rest} more findings; --output FILE.json holds all of them")
    print(_summary(report.num_errors, len(findings)))
    if options.output:
        write_output(options.output, content)
    if options.contact_sheet:
        page = draw_contact_sheet(report)
        write_output(options.contact_sheet, partial(page.save, format="PNG"))
    return 1 if report.num_errors else 0


def _summary(num_errors: int, num_findings: int) -> str:
    notices = num_findings - num_errors
    if not num_errors:
        return f"Nothing to mend, {notices} notice(s)."
    return f"{num_errors} error(s) to mend, {notices} notice(s)."


def _add_output(parser: PlainParser, purpose: str) -> None:
    parser.add_argument("--output", type=path_ending_in(".json"), metavar="FILE.json", help=purpose)


SUBCOMMANDS = {
    "list": (_run_list, "the public data sets that are known here"),
    "check": (_run_check, "what is wrong with the data sets below a folder"),
    "prepare": (data_prepare.run, "unpack the hub's Parquet files into folders, verified"),
    "render": (data_render.run, "scenes whose salient objects need both modalities"),
}
