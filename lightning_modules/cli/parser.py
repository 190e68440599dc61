"""The argument parser of the commands that are not the trainer's."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from datamodules.image_size import ImageSize
from lightning_modules.runs.shipped import find_shipped
from mutualformer.errors import UserError
from mutualformer.typed_path import typed_path


class PlainParser(argparse.ArgumentParser):
    """Report a mistake in one message, as the trainer's commands do; take no abbreviated option."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"mutualformer {command}",
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        print(f"error: {message}; try {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def split_settings(parser: PlainParser, arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the settings of runs among the words of a command, and the other words."""
    settings = [x for x in arguments if x.startswith(("--model", "--data", "--trainer", "--seed"))]
    for word in settings:
        if "=" not in word:
            parser.error(f"{word} has no value, expected {word}=VALUE")
    return settings, [x for x in arguments if x not in settings]


def integer_of_at_least(least: int) -> Callable[[str], int]:
    """Return a converter for `type=` that refuses smaller numbers."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}, expected an integer >= {least}")
        return int(text)

    return convert


def image_size(text: str) -> ImageSize:
    """Convert, for `type=`, one number of pixels, or height and width as `352,480`."""
    sides = text.split(",")
    if not all(side.isdecimal() for side in sides) or len(sides) > 2 or min(map(int, sides)) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}, expected an integer >= 1, or two, as 352,480 (height, width)"
        )
    return int(text) if len(sides) == 1 else [int(side) for side in sides]


def any_path(text: str) -> Path:
    """Convert, for `type=`, to a path."""
    try:
        return typed_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def file_or_name(folder: str = "") -> Callable[[str], Path]:
    """Return a converter for `type=` to a file here, or to one of the package by its name.

    Args:
        folder: of the package's experiments, in which a name is looked for first.
    """
    return lambda text: find_shipped(any_path(text), folder)


def add_output_files(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Add `--output` for the table of a command, and `--plot` for its figure.

    Args:
        parser: of the command.
        drawn: what the figure shows.
    """
    parser.add_argument(
        "--output",
        type=path_ending_in(".md", ".tex", ".csv", ".html"),
        metavar="FILE",
        help="also write the table, by suffix: .md .tex .csv .html",
    )
    parser.add_argument(
        "--plot",
        type=path_ending_in(".png", ".svg"),
        metavar="FILE",
        help=f"draw {drawn}: .png .svg",
    )


def path_ending_in(*suffixes: str) -> Callable[[str], Path]:
    """Return a converter for `type=` to a file that may be written, with one of these suffixes."""

    def convert(text: str) -> Path:
        path = any_path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(
                f"{text}, expected a file ending in {' '.join(suffixes)}"
            )
        if path.is_dir():
            raise argparse.ArgumentTypeError(f"{text} is a folder, expected a file")
        return path

    return convert
