"""`mutualformer data`: look after data sets. Importing this does not import torch."""

import sys

from lightning_modules import data_prepare_command

_USAGE = """usage: mutualformer data <subcommand> [options]

subcommands:
  prepare   pack data sets into one layout, verified      mutualformer data prepare SOURCE --output ROOT

mutualformer data <subcommand> --help lists the options of each.
"""  # noqa: E501
_SUBCOMMANDS = {"prepare": data_prepare_command.run}


def run(arguments: list[str]) -> int:
    """Run a subcommand; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if arguments else 2
    if arguments[0] not in _SUBCOMMANDS:
        print(
            f"error: unknown subcommand {arguments[0]!r}, expected one of "
            f"{', '.join(_SUBCOMMANDS)}; try mutualformer data --help",
            file=sys.stderr,
        )
        return 2
    return _SUBCOMMANDS[arguments[0]](arguments[1:])
