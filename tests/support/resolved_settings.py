"""The settings that a command would run with."""

import contextlib
import io
from typing import Any

import yaml

from lightning_modules.main import main


def resolved_settings(*options: str) -> dict[str, Any]:
    """Return what `fit` with these options says to `--print_config`."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main(["fit", *options, "--print_config"])
    return yaml.safe_load(printed.getvalue())
