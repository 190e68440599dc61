"""Read a JSON file that a run left, or say what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from mutualformer.errors import UserError


def read_json(path: Path, error_class: type[UserError], remedy: str) -> Any:
    """Return what a file holds.

    Args:
        path: the file.
        error_class: of the error, where it cannot be read.
        remedy: what to do about a damaged file.

    Raises:
        FileNotFoundError: there is none.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise error_class(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # JSON and UTF-8 errors are both ValueErrors
        raise error_class(f"{path} is damaged ({error}); {remedy}") from error
