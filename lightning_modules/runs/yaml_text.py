"""Read YAML from users."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mutualformer.errors import UserError

# A resolved experiment has some hundred values, in a few levels.
_MOST_VALUES = 20_000
_DEEPEST = 50


def load_yaml(text: str | bytes, load: Callable[[Any], Any] = yaml.safe_load) -> Any:
    """Load YAML, whatever is wrong with it ending in one class of error.

    Args:
        text: The document.
        load: Reads it without creating anything but plain values.

    Raises:
        yaml.YAMLError: It is no YAML, or stands for too much: aliases make a hundred bytes stand
            for billions of values, which whoever walks through them would wait for.

    >>> load_yaml("a: [1, 2]")
    {'a': [1, 2]}
    """
    try:
        content = load(text)
    except yaml.YAMLError:
        raise
    # PyYAML raises nearly anything for a date such as 2001-99-99, or a tag such as !!int.
    except Exception as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else f"{error}"
        raise yaml.YAMLError(f"a value that cannot be read: {reason}") from error
    _refuse_too_much(content)
    return content


def read_mapping(
    path: Path,
    expected: str,
    error_class: type[UserError] = UserError,
    option: str = "",
    load: Callable[[Any], Any] = yaml.safe_load,
) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: The file.
        expected: What it should describe, for the message.
        error_class: What to raise.
        option: That named the file, for the message.
        load: See :func:`load_yaml`.

    Raises:
        UserError: It cannot be read, is no YAML, or holds something else; of ``error_class``.
    """
    file = f"{option} {path}".strip()
    try:
        content = load_yaml(path.read_text(encoding="utf-8"), load)
    except OSError as error:
        raise error_class(f"{file} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise error_class(f"{file} is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise error_class(
            f"{file} holds a {type(content).__name__}, expected {expected}: a mapping"
        )
    return content


def _refuse_too_much(content: Any) -> None:
    num_values = 0
    waiting = [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        num_values += 1
        if num_values > _MOST_VALUES or depth > _DEEPEST:
            raise yaml.YAMLError(
                f"more than {_MOST_VALUES} values, or nested deeper than {_DEEPEST}, aliases "
                "expanded"
            )
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple | set):
            waiting += [(part, depth + 1) for part in value]
