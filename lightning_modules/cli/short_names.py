"""Fusions by short name, as YAML, flags and sweeps write them, for a parser that knows class paths.

A name sets the class; options that it shares with the class before it stay. Mistakes are told here,
where names are still those that the user gave.
"""

import inspect
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

from lightning_modules.runs.yaml_text import load_yaml
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import by_class_path, by_short_name

_NETWORK = r"--model(\.init_args)?\.network(\.init_args)?"
_FUSION = re.compile(
    rf"{_NETWORK}\.fusion(\.init_args)?(\.(?!help)(?P<option>\w+)[\w.]*)?=(?P<value>.*)", re.DOTALL
)
_CLASS = (None, "name", "class_path")
_OURS = "mutualformer.MutualFormerNetwork"


def expand_configuration(content: Any) -> Any:
    """Spell the fusion in a configuration, of a run or of a network, by class path."""
    for network in (content, *_networks(content)):
        settings = network.get("init_args", network) if isinstance(network, dict) else None
        if isinstance(settings, dict) and "fusion" in settings and _is_ours(network):
            settings["fusion"] = by_class_path(settings["fusion"])
    return content


def expand_arguments(arguments: Iterable[str], configurations: Mapping[str, Any]) -> list[str]:
    """Spell fusions among arguments by class path, and check them and their options.

    Args:
        arguments: the command and its options.
        configurations: contents of the files behind ``--config``, expanded, by what was typed.

    Returns:
        Arguments for the parser. Options follow the flag that names their class, whatever order
        they were typed in.

    Raises:
        ValueError: a class cannot be imported or is no fusion, lacks an argument or has one too
            many; says which.
    """
    words = list(_joined(arguments))
    flags = {index: found for index, x in enumerate(words) if (found := _FUSION.fullmatch(x))}
    naming = [index for index, found in flags.items() if found["option"] in _CLASS]
    if naming:
        last = naming[-1]
        fusion = by_class_path(load_yaml(flags[last]["value"]))
        text = fusion if isinstance(fusion, str) else json.dumps(fusion)
        before = [word for index, word in enumerate(words[:last]) if index not in flags]
        options = [words[index] for index in flags if index < last and index not in naming]
        words = [*before, f"--model.network.fusion={text}", *options, *words[last + 1 :]]

    network, layers, typed = {"class_path": _OURS}, [], []
    for word in words:
        option, _, value = word.partition("=")
        specs = _networks(configurations.get(value)) if option in ("--config", "-c") else []
        if re.fullmatch(_NETWORK, option):
            specs = [{"class_path": value}]
        for spec in specs:
            network = spec if "class_path" in spec else network
            layers.append(spec.get("init_args", spec).get("fusion"))
        if flag := _FUSION.fullmatch(word):
            typed += [] if flag["option"] in _CLASS else [flag["option"]]
            layers += [load_yaml(value)] if flag["option"] in _CLASS else []
    if _is_ours(network):
        _check(layers, typed)
    return words


def _joined(arguments: Iterable[str]) -> Iterator[str]:
    """Yield `--option=value` for the `--option value` of what is looked at here."""
    waiting = iter(arguments)
    for word in waiting:
        has_value = re.fullmatch(rf"{_NETWORK}(\.fusion[\w.]*)?|--config|-c", word)
        value = next(waiting, None) if has_value else None
        yield word if value is None else f"{word}={value}"


def _networks(content: Any) -> list[dict[str, Any]]:
    """Return what a configuration says of the network, with or without a class of the model."""
    model = content.get("model") if isinstance(content, dict) else None
    holders = [model, model.get("init_args")] if isinstance(model, dict) else []
    found = [holder.get("network") for holder in holders if isinstance(holder, dict)]
    return [network for network in found if isinstance(network, dict)]


def _is_ours(network: Mapping[str, Any]) -> bool:
    return str(network.get("class_path", _OURS)).endswith(".MutualFormerNetwork")


def _check(layers: Iterable[Any], typed: Collection[str]) -> None:
    """Follow the class through files and flags, which lie over each other."""
    path, given = FUSIONS["mutualformer"], set[str]()
    for layer in layers:
        fusion = {"class_path": layer} if isinstance(layer, str) else layer
        if not isinstance(fusion, Mapping):
            continue
        if "class_path" in fusion:
            path = str(fusion["class_path"])
            given &= set(_options_of(path))  # the parser drops the others
        is_spelled = "class_path" in fusion or "init_args" in fusion
        options = (fusion.get("init_args") or {}) if is_spelled else fusion
        _refuse_others(path, options)
        given |= set(options)
    _refuse_others(path, typed)
    needed = [name for name, has_default in _options_of(path).items() if not has_default]
    if missing := [name for name in needed if name not in given | set(typed)]:
        raise UserError(
            f"fusion {_short(path)} lacks {', '.join(missing)}, expected a value: give "
            f"--model.network.fusion.{missing[0]}"
        )


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
