"""How a fusion is written down: by short name or class path, today or by earlier versions."""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS

if TYPE_CHECKING:
    from mutualformer.fusions.base import Fusion

# Before every fusion was a class, one record held the options of all of them.
_COMMON = {"num_heads", "mlp_ratio", "qkv_bias", "dropout", "drop_path"}
_OF_MUTUALFORMER = {"epsilon", "num_iterations", "initial_affinity", "affinity", "backend"}
_OF_MUTUALFORMER |= {"attention_dropout", "variant"}
_FORMER_RECORD = {"name", "kernel_size"} | _COMMON | _OF_MUTUALFORMER
_KERNEL = {"mutualformer", "concat", "cross_attention"}


def by_class_path(fusion: Any) -> Any:
    """Spell a fusion by ``class_path`` and ``init_args``; return what names none as it is.

    Args:
        fusion: a short name or a class path; a mapping with ``name`` and options; or the whole
            record of an earlier version, of which options of other fusions are left out.

    >>> by_class_path({"name": "concat", "num_heads": 4})
    {'class_path': 'mutualformer.fusions.concat.Concat', 'init_args': {'num_heads': 4}}
    >>> by_class_path({"class_path": "concat"})
    {'class_path': 'mutualformer.fusions.concat.Concat', 'init_args': {}}
    >>> by_class_path({"num_heads": 4})
    {'num_heads': 4}
    """
    if isinstance(fusion, str):
        return FUSIONS.get(fusion, fusion)
    if not isinstance(fusion, Mapping):
        return fusion
    if "class_path" in fusion:  # which may be a short name, or name a class with options in turn
        named = by_class_path(fusion["class_path"])
        named = named if isinstance(named, Mapping) else {"class_path": named}
        return {**fusion, **named, "init_args": _options(named) | _options(fusion)}
    name = fusion.get("name")
    if not isinstance(name, str):
        return fusion
    options = {key: value for key, value in fusion.items() if key not in ("name", "init_args")}
    options |= _options(fusion)
    if fusion.keys() == _FORMER_RECORD and name in FUSIONS:
        foreign = set() if name == "mutualformer" else _OF_MUTUALFORMER
        foreign = foreign if name in _KERNEL else foreign | {"kernel_size"}
        options = {key: value for key, value in options.items() if key not in foreign}
    return {"class_path": FUSIONS.get(name, name), "init_args": options}


def by_short_name(fusion: Mapping[str, Any]) -> Mapping[str, Any]:
    """Spell a fusion of this package by ``name`` and options; return others as they are.

    >>> by_short_name({"class_path": "mutualformer.fusions.Sum", "init_args": {"num_heads": 4}})
    {'name': 'sum', 'num_heads': 4}
    """
    spelled = by_class_path(fusion)
    package, _, name = str(spelled.get("class_path")).rpartition(".")
    for short, path in FUSIONS.items():
        if package.split(".")[0] == "mutualformer" and path.endswith(f".{name}"):
            return {"name": short, **_options(spelled)}
    return fusion


def read_fusion(fusion: str | Mapping[str, Any]) -> Callable[[int], "Fusion"]:
    """Return what builds a fusion of a given width from its settings, in any spelling.

    Files of strangers may hold these settings, so that no module of theirs is imported.

    Raises:
        ValueError: the class is neither of this package nor imported already.
    """
    from mutualformer.fusions import Fusion  # late: of the functions here only this needs torch

    spelled = by_class_path(fusion)
    spelled = {"class_path": spelled} if isinstance(spelled, str) else spelled
    if not isinstance(spelled, Mapping) or not isinstance(spelled.get("init_args", {}), Mapping):
        raise UserError(f"fusion is {fusion!r:.80}, expected a name, or class_path and init_args")
    if "class_path" not in spelled:
        spelled = {"class_path": FUSIONS["mutualformer"], "init_args": spelled}
    short = by_short_name(spelled).get("name")
    path = FUSIONS[short] if short in FUSIONS else str(spelled["class_path"])
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module) if short else sys.modules.get(module), name, None)
    if not isinstance(found, type) or not issubclass(found, Fusion):
        raise UserError(
            f"fusion is {path:.80}, expected one of {', '.join(FUSIONS)}, or a subclass of "
            "mutualformer.fusions.Fusion that is imported already: import its module first"
        )
    return partial(found, **_options(spelled))


def _options(spelled: Mapping[str, Any]) -> dict[str, Any]:
    options = spelled.get("init_args")
    return dict(options) if isinstance(options, Mapping) else {}
