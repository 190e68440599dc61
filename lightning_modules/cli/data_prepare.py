"""`mutualformer data prepare`: pack data sets into one layout. Importing this imports no torch."""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

from lightning_modules.cli.parser import PlainParser

_DESCRIPTION = """Pack data sets into ROOT/train/NAME/{RGB,depth,GT} and ROOT/test/NAME/….

SOURCE is a folder with data sets in it whose folders have any of the accepted names, an archive of
such (.zip, .tar, .tar.gz), or Parquet files with the columns rgb, depth, gt and name, as a local
copy of RGBD-SOD/rgbdsod_datasets from the Hugging Face hub has (needs pip install
'mutualformer[data]'):

  mutualformer data prepare downloads/NJU2K.zip --output data --split train
  mutualformer data prepare rgbdsod_datasets --within NLPR --output data --dry-run

Files are kept byte for byte, and every one is decoded. The name of a data set is that of its
folder, the split that of a folder train or test above it; for Parquet files, it is assumed that
they are called [NAME/]train-00000-of-00002.parquet. What cannot be told so, say with --dataset and
--split.

The same command again continues after an interruption: what is there is compared with the source,
and nothing is ever overwritten. prepared.json, written last, lists every file with its digest. Exit
code 2 if a file is damaged, has no partner, or would have to be overwritten.
"""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _prepare(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("data prepare", _DESCRIPTION)
    add = parser.add_argument
    add("source", type=Path, metavar="SOURCE")
    add("--output", type=Path, required=True, metavar="ROOT", help="where the data sets go")
    add("--dataset", metavar="NAME", help="name of the data set, if there is one in SOURCE")
    add("--split", choices=("train", "test"), help="what the data sets are for")
    add("--within", metavar="FOLDER", help="take only what is in this folder in SOURCE")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--link", action="store_true", help="make hard links to the files of a folder, no copies"
    )
    modes.add_argument(
        "--dry-run", action="store_true", help="list what would be written, and write nothing"
    )
    return parser.parse_args(arguments)


def _prepare(options: Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from datamodules.prepare import find_written, make_plan, open_source, write_plan

    source = open_source(options.source, options.output)
    plan = make_plan(
        source.list_files(), str(options.source), options.dataset, options.split, options.within
    )
    # Conflicts in the last data set are found before the first one is written.
    written = {prepared: find_written(prepared, options.output) for prepared in plan}
    if options.dry_run:
        for prepared in plan:
            for file in prepared.files:
                there = "there" if file in written[prepared] else "new"
                print(f"{there}\t{options.output / prepared.folder / file.name}\t{file.origin}")
            print(f"{prepared.folder}: {prepared.num_samples} samples", file=sys.stderr)
        return
    for prepared in plan:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(prepared.folder, total=len(prepared.files))
            num_written = write_plan(
                prepared,
                source,
                options.output,
                str(options.source),
                options.link,
                partial(progress.advance, task),
            )
        print(
            f"{options.output / prepared.folder}: {prepared.num_samples} samples, "
            f"{num_written} files written, {len(prepared.files) - num_written} there already"
        )
