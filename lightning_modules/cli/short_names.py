"""Settings below `model`, spelled as the parser knows them before it sees them.

A fusion has a short name in YAML, flags and sweeps, and a class path for the parser. Mistakes are
told here, where names are still those that the user gave.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from lightning_modules.runs.yaml_text import load_yaml
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import by_class_path, by_short_name

_FLAG = re.compile(r"--(?P<name>model(\.\w+)*\.(?!help\b)\w+)(=(?P<value>.*))?", re.DOTALL)
_OURS = "mutualformer.MutualFormerNetwork"


def take_model_flags(arguments: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """Take the options `--model.NAME=VALUE` out of arguments; return the rest, and one mapping.

    As a mapping that lies over the files they keep their types through any number of classes below
    each other, where the parser would make the text "None" of null; and an option counts for the
    class that is typed, in whatever order.

    >>> take_model_flags(["fit", "--model.network.fusion.epsilon=0.3", "--model.loss", "bce"])
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
            words.append(word)
            continue
        *path, last = flag["name"].split(".")
        holder = typed
        for name in path:
            below = holder.get(name, {})
            holder[name] = below if isinstance(below, dict) else {"class_path": below}
            holder = holder[name]
        if isinstance(holder.get(last), dict):
            holder[last]["class_path"] = _read(value)
        else:
            holder[last] = _read(value)
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
    named = {name: spelled.pop(name) for name in ("class_path", "init_args") if name in spelled}
    if "class_path" not in named:
        return spelled | named
    return {"class_path": named["class_path"], "init_args": named.get("init_args", {}) | spelled}


def expand_configuration(content: Any) -> Any:
    """Spell the fusion in a configuration, of a run or of a network, by class path."""
    for network in (content, *_networks(content)):
        settings = network.get("init_args", network) if isinstance(network, dict) else None
        if isinstance(settings, dict) and "fusion" in settings and _is_ours(network):
            settings["fusion"] = by_class_path(settings["fusion"])
    return content


def check_fusion(configurations: Iterable[Any]) -> None:
    """Follow the class of the fusion through expanded configurations that lie over each other.

    Raises:
        ValueError: it cannot be imported or is no fusion, lacks an argument or has one too many;
            says which.
    """
    network: Mapping[str, Any] = {}
    path, given = FUSIONS["mutualformer"], set[str]()
    for content in configurations:
        for spec in _networks(content):
            network = spec if "class_path" in spec else network
            fusion = spec.get("init_args", spec).get("fusion")
            fusion = {"class_path": fusion} if isinstance(fusion, str) else fusion
            if not _is_ours(network) or not isinstance(fusion, Mapping):
                continue
            if "class_path" in fusion:
                path = str(fusion["class_path"])
                given &= set(_options_of(path))  # the parser drops the others
            is_spelled = "class_path" in fusion or "init_args" in fusion
            options = (fusion.get("init_args") or {}) if is_spelled else fusion
            _refuse_others(path, options)
            given |= set(options)
    needed = [name for name, has_default in _options_of(path).items() if not has_default]
    missing = [name for name in needed if name not in given]
    if missing and _is_ours(network):
        raise UserError(
            f"fusion {_short(path)} lacks {', '.join(missing)}, expected a value: give "
            f"--model.network.fusion.{missing[0]}"
        )


def _networks(content: Any) -> list[dict[str, Any]]:
    """Return what a configuration says of the network, with or without a class of the model."""
    model = content.get("model") if isinstance(content, dict) else None
    holders = [model, model.get("init_args")] if isinstance(model, dict) else []
    found = [holder.get("network") for holder in holders if isinstance(holder, dict)]
    named = [{"class_path": network} if isinstance(network, str) else network for network in found]
    return [network for network in named if isinstance(network, dict)]


def _is_ours(network: Mapping[str, Any]) -> bool:
    return str(network.get("class_path", _OURS)).endswith(".MutualFormerNetwork")


def _refuse_others(path: str, options: Iterable[str]) -> None:
    known = _options_of(path)
    if others := [str(name) for name in options if name not in known]:
        raise UserError(
            f"fusion {_short(path)} has no option {', '.join(others)}, expected some of "
            f"{', '.join(known)}: correct its name, or choose another fusion"
        )


def _options_of(path: str) -> dict[str, bool]:
    """Return the options of a fusion by its class path, and whether they have a default.

    Raises:
        ValueError: it cannot be imported, or is no subclass of ``Fusion``.
    """
    expected = (
        f"expected one of {', '.join(FUSIONS)}, or the class path of a subclass of "
        "mutualformer.fusions.Fusion"
    )
    module, _, name = path.rpartition(".")
    if not module:
        raise UserError(f"fusion is {path}, {expected}: check its spelling")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # a module of the user's may raise anything
        raise UserError(
            f"fusion {path} cannot be imported ({type(error).__name__}: {error}), {expected}: "
            "check its spelling, or add its folder to PYTHONPATH"
        ) from error
    if not isinstance(found, type) or not issubclass(found, Fusion):
        raise UserError(f"fusion {path} is no fusion, {expected}: derive your class from it")
    defaults = {
        name: parameter.default is not parameter.empty
        for name, parameter in inspect.signature(found).parameters.items()
    }
    # The parser also follows **options to where they go.
    names = ArgumentParser().add_class_arguments(found, skip={1})
    return {name: defaults.get(name, True) for name in names}


def _short(path: str) -> str:
    return by_short_name({"class_path": path}).get("name", path)
