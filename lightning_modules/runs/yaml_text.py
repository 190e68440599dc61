"""Read YAML from users: one reader, and one idea of numbers, for settings, sweeps and tables."""

import re
from pathlib import Path
from typing import Any

import yaml

from mutualformer.errors import UserError

# A resolved experiment has some hundred values, in a few levels.
_MOST_VALUES = 20_000
_DEEPEST = 50


class _Loader(yaml.SafeLoader):
    """Read plain values as jsonargparse does in experiments; refuse a key that stands twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping as it is written, before merges (`<<`) are expanded."""
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.YAMLError(
                    f"key {key.value!r} on line {key.start_mark.line + 1} stands twice in one "
                    "mapping, expected once: remove one"
                )
            seen.add((key.tag, key.value))
        return node


# YAML 1.1, which PyYAML follows, takes 1e-4 for text, and 2001-01-01 for a date.
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def read_yaml_mapping(path: Path, what: str, option: str = "") -> dict[Any, Any]:
    """Read a YAML file that holds a mapping.

    Args:
        path: the file.
        what: it should hold, for messages: settings, a sweep, a table.
        option: the flag that names the file, for messages; may be empty.

    Raises:
        UserError: it cannot be read, is no YAML (see `load_yaml`), or holds something else.
    """
    name = f"{option} {path}".lstrip()
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{name} holds a {type(content).__name__}, expected {what}: a mapping")
    return content


def load_yaml(text: str | bytes) -> Any:
    """Load YAML, whatever is wrong with it ending in one class of error.

    Args:
        text: the document.

    Raises:
        yaml.YAMLError: it is no YAML, has a key twice in one mapping, or stands for too much:
            aliases make a hundred bytes stand for billions of values, which whoever walks through
            them would wait for.

    >>> load_yaml("a: [1, 2e-1]")
    {'a': [1, 0.2]}
    """
    try:
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError:
        raise
    # PyYAML raises nearly anything for a tag such as !!int before what is none.
    except Exception as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else f"{error}"
        raise yaml.YAMLError(f"a value that cannot be read: {reason}") from error
    _refuse_too_much(content)
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
