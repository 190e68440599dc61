"""Settings below `model` and `data`, spelled as the parser knows them before it sees them.

A fusion has a short name in YAML, flags and sweeps, and a class path for the parser.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.cli.sockets import is_ours
from lightning_modules.runs.shipped import find_shipped
from lightning_modules.runs.yaml_text import load_yaml
from mutualformer.fusions.spelling import by_class_path
from mutualformer.typed_path import expand_home

_FLAG = re.compile(r"--(?P<name>(model|data)(\.(?!help\b)\w+)*)(=(?P<value>.*))?", re.DOTALL)
_CONFIG = ("--config", "-c")


def take_flags(arguments: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Take `--model.NAME=VALUE` and `--data.…` out of arguments; return the rest, and one mapping.

    As a mapping that lies over the files they keep their types through any number of classes below
    each other, where the parser would make the text "None" of null; and an option counts for the
    class that is typed, in whatever order.

    >>> take_flags(["fit", "--model.network.fusion.epsilon=0.3", "--model.loss", "bce"])
    (['fit'], {'model': {'network': {'fusion': {'epsilon': 0.3}}, 'loss': 'bce'}})
    """
    words: list[str] = []
    typed: dict[str, Any] = {}
    waiting = iter(arguments)
    for word in waiting:
        flag = _FLAG.fullmatch(word)
        value = None if flag is None else flag["value"]
        if flag is not None and value is None:
            value = next(waiting, None)
        if flag is None or value is None:  # of a value that is missing, the parser tells
            option, equals, text = word.partition("=")
            words.append(f"{option}={expand_home(text, option)}" if equals else expand_home(word))
            continue
        *path, last = (name for name in flag["name"].split(".") if name != "init_args")
        holder = typed
        for name in path:
            below = holder.get(name, {})
            holder[name] = below if isinstance(below, dict) else {"class_path": below}
            holder = holder[name]
        setting = expand_paths(_read(value), f"--{flag['name']}")
        if isinstance(holder.get(last), dict):  # options that were typed before their class
            setting = setting if isinstance(setting, dict) else {"class_path": setting}
            setting = holder[last] | setting
        holder[last] = setting
    return words, _with_classes(typed)


def _read(text: str) -> Any:
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        return text


def _with_classes(settings: Any) -> Any:
    """Put options beside a class path below it, where the parser looks for them."""
    if not isinstance(settings, dict):
        return settings
    spelled = {name: _with_classes(value) for name, value in settings.items()}
    if "class_path" not in spelled:
        return spelled
    beside = {x: spelled.pop(x) for x in ("class_path", "dict_kwargs") if x in spelled}
    return beside | {"init_args": spelled}


def find_configurations(words: Sequence[str]) -> list[str]:
    """Write out the files that are given with --config by their name in the package."""
    found = list(words)
    for index, (word, before) in enumerate(zip(words, ["", *words[:-1]], strict=True)):
        option, equals, value = word.partition("=")
        given = value if equals and option in _CONFIG else word if before in _CONFIG else ""
        path = find_shipped(Path(given))
        if given and path != Path(given):
            found[index] = f"{option}={path}" if equals else str(path)
    return found


def configuration_files(words: Sequence[str]) -> list[tuple[int, Path]]:
    """Return the files given with --config, and where in the words each has been given."""
    found = []
    for index, (word, following) in enumerate(itertools.pairwise([*words, ""])):
        option, equals, value = word.partition("=")
        path = Path(value if equals else following)
        if option in _CONFIG and path.is_file():  # otherwise, the parser says so
            found.append((index + (1 if equals else 2), path))
    return found


def expand_paths(content: Any, what: str = "") -> Any:
    """Return settings in which every text that begins like a path in a home begins with that.

    Args:
        content: settings, or one value of them.
        what: option or setting that has it, for messages.
    """
    if isinstance(content, dict):
        below = f"{what}." if what else ""
        return {name: expand_paths(value, f"{below}{name}") for name, value in content.items()}
    if isinstance(content, list):
        return [expand_paths(value, what) for value in content]
    return expand_home(content, what) if isinstance(content, str) else content


def expand_configuration(content: Any) -> Any:
    """Write out paths in a configuration, of a run or of a network, and its fusion's class path."""
    content = expand_paths(content)
    for network in (content, *_networks(content)):
        settings = network.get("init_args", network) if isinstance(network, dict) else None
        if (
            isinstance(settings, dict)
            and "fusion" in settings
            and is_ours([{"model": {"network": network}}])
        ):
            settings["fusion"] = by_class_path(settings["fusion"])
    return content


def _networks(content: Any) -> list[dict[str, Any]]:
    """Return what a configuration says of the network, with or without a class of the model."""
    model = content.get("model") if isinstance(content, dict) else None
    holders = [model, model.get("init_args")] if isinstance(model, dict) else []
    found = [holder.get("network") for holder in holders if isinstance(holder, dict)]
    return [network for network in found if isinstance(network, dict)]
