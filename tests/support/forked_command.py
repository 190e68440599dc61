"""The command in a forked process: two seconds sooner than in one that imports everything anew.

It is forked from a server that has imported the command and done nothing else: copies of a process
in which torch has computed gradients cannot do that again.
"""

import logging
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import ModuleType
from typing import NamedTuple

import cloudpickle

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["lightning_modules.cli.training", "matplotlib.figure", "matplotlib.backends.backend_agg"]
)


class Finished(NamedTuple):
    """How a process ended: its exit code, or minus the signal, and what it printed."""

    code: int
    output: str


class Forked:
    """The command in a process that need not import anything first.

    Args:
        arguments: of the command.
        inject: is called in the process before the command, to break something there.
        environment: variables that are added.
    """

    def __init__(
        self,
        arguments: list[str],
        inject: Callable[[], None] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # A pipe, which the size that files may have in a test does not limit.
        self._output, write_end = _CONTEXT.Pipe(duplex=False)
        # The current folder and variables of the server are those of its start.
        settings = {**os.environ, **(environment or {})}
        arguments_of_run = (arguments, _pickle(inject), settings, os.getcwd(), write_end)
        self._process = _CONTEXT.Process(target=_run, args=arguments_of_run)
        self._process.start()
        write_end.close()

    def wait(self) -> Finished:
        """Wait for its end."""
        with open(os.dup(self._output.fileno()), errors="replace") as output:
            text = output.read()
        self._output.close()
        self._process.join()
        assert self._process.exitcode is not None
        return Finished(self._process.exitcode, text)


def _pickle(inject: Callable[[], None] | None) -> bytes:
    # By value, for tests are in no package that another process could import.
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and module.__name__.startswith("tests."):
            cloudpickle.register_pickle_by_value(module)
    return cloudpickle.dumps(inject)


def _run(
    arguments: list[str],
    inject: bytes,
    environment: dict[str, str],
    folder: str,
    output: Connection,
) -> None:
    code = 70
    try:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        output.close()
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        # Whoever runs the tests in the background of a shell script has Ctrl+C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger("lightning.pytorch").handlers = [logging.StreamHandler(sys.stderr)]
        warnings.showwarning = lambda text, *_, **__: print(text, file=sys.stderr)
        # That of this process is the server's, and would be that of data-loading workers.
        multiprocessing.set_start_method("fork", force=True)
        os.chdir(folder)
        os.environ.update(environment)
        import torch

        from lightning_modules.main import main

        torch.set_num_threads(1)  # two runs at once on two cores slow each other down tenfold
        if broken := cloudpickle.loads(inject):
            broken()
        code = main(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
