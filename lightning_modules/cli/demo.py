"""`mutualformer demo`: try a trained network in a browser."""

from argparse import ArgumentTypeError, Namespace
from importlib.util import find_spec

from lightning_modules.cli.parser import PlainParser, any_path
from lightning_modules.runs.run_folder import RunFolder
from mutualformer.errors import UserError

_DESCRIPTION = """Serve a page in which one tries a trained network: drop an RGB image and a depth image (or other
second modality), see the map and an overlay, click a token to see what it attends to.

  mutualformer demo runs/quickstart/export

EXPORT is a folder that mutualformer export wrote. Images are read as predict reads them. The page asks
nothing of any other machine, and none but this one can reach it unless --host says so.
"""  # noqa: E501


def run(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    options = _parse(arguments)
    _serve(options)
    return 0


def _parse(arguments: list[str]) -> Namespace:
    parser = PlainParser("demo", _DESCRIPTION)
    add = parser.add_argument
    add("export", type=any_path, metavar="EXPORT", help="folder of an exported network")
    add(
        "--port",
        type=_port,
        default=8000,
        metavar="N",
        help="to listen on; 0 for any that is free (default: %(default)s)",
    )
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="to listen at; 0.0.0.0 lets other machines in (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if find_spec("flask") is None:
        parser.error("the page needs flask: pip install 'mutualformer[demo]'")
    return options


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r}, expected an integer from 0 to 65535")
    return int(text)


def _serve(options: Namespace) -> None:
    from lightning_modules.cli.quiet import silence_what_users_cannot_act_on
    from lightning_modules.demo.exported_model import ExportedModel
    from lightning_modules.demo.server import serve

    silence_what_users_cannot_act_on()
    run = RunFolder(options.export)
    if run.config.is_file():
        raise UserError(
            f"{run.path} is the folder of a run, expected an exported network: mutualformer export "
            f"{run.path}, then mutualformer demo {run.export}"
        )
    serve(ExportedModel(options.export), options.host, options.port)
