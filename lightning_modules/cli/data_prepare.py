"""`mutualformer data prepare`: unpack the hub's Parquet files into folders."""

import sys
from argparse import Namespace
from functools import partial

from lightning_modules.cli.parser import PlainParser, any_path

_DESCRIPTION = """Unpack Parquet files into ROOT/train/NAME/{RGB,depth,GT} and ROOT/test/NAME/….

SOURCE is a Parquet file, or a folder of such, with the columns rgb, depth, gt and name, as a local
copy of RGBD-SOD/rgbdsod_datasets from the Hugging Face hub has (needs pip install
'mutualformer[data]'):

  mutualformer data prepare rgbdsod_datasets --output data --dry-run

It is assumed that they are called [NAME/]train-00000-of-00002.parquet; otherwise say what they are
with --dataset and --split. Images are kept byte for byte, and every one is decoded first.

The same command again continues after an interruption: what is there is compared with the source,
and nothing is ever overwritten. Exit code 2 if an image is damaged, or a file would have to be.
"""


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = PlainParser("data prepare", _DESCRIPTION)
    add = parser.add_argument
    add("source", type=any_path, metavar="SOURCE")
    add("--output", type=any_path, required=True, metavar="ROOT", help="where the data sets go")
    add("--dataset", metavar="NAME", help="name of the data set, if there is one in SOURCE")
    add("--split", choices=("train", "test"), help="what the data sets are for")
    add("--dry-run", action="store_true", help="list what would be written, and write nothing")
    _prepare(parser.parse_args(arguments))
    return 0


def _prepare(options: Namespace) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from datamodules.prepare.unpack import find_written, make_plan, write_dataset

    plan = make_plan(options.source, options.dataset, options.split)
    # Conflicts in the last data set are found before the first one is written.
    written = {planned.folder: find_written(planned, options.output) for planned in plan}
    for planned in plan:
        folder, files = options.output / planned.folder, planned.files
        if options.dry_run:
            for name, file in files.items():
                there = "there" if name in written[planned.folder] else "new"
                print(f"{there}\t{folder / name}\t{file.origin}")
            print(f"{planned.folder}: {planned.num_samples} samples", file=sys.stderr)
            continue
        with Progress(console=Console(stderr=True)) as progress:
            advance = partial(progress.advance, progress.add_task(planned.folder, total=len(files)))
            num_written = write_dataset(planned, options.output, advance)
        print(
            f"{folder}: {planned.num_samples} samples, {num_written} files written, "
            f"{len(files) - num_written} there already"
        )
