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
    >>> by_class_path({"num_heads": 4})
    {'num_heads': 4}
    """
    if isinstance(fusion, str):
        return FUSIONS.get(fusion, fusion)
    if isinstance(fusion, Mapping) and fusion.get("class_path") in FUSIONS:
        return {**fusion, "class_path": FUSIONS[fusion["class_path"]]}
    if not isinstance(fusion, Mapping) or not isinstance(fusion.get("name"), str):
        return fusion
    options = {name: value for name, value in fusion.items() if name not in ("name", "init_args")}
    options |= fusion.get("init_args") or {}
    name = fusion["name"]
    if fusion.keys() == _FORMER_RECORD and name in FUSIONS:
        foreign = set() if name == "mutualformer" else _OF_MUTUALFORMER
        foreign = foreign if name in _KERNEL else foreign | {"kernel_size"}
        options = {name: value for name, value in options.items() if name not in foreign}
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
            return {"name": short, **spelled.get("init_args", {})}
    return fusion


def read_fusion(fusion: str | Mapping[str, Any]) -> Callable[[int], "Fusion"]:
    """Return what builds a fusion of a given width from its settings, in any spelling.

    Files of strangers may hold these settings, so that no module of theirs is imported.

    Raises:
        ValueError: the class is neither of this package nor imported already.
    """
    spelled = by_class_path(fusion)
    spelled = {"class_path": spelled} if isinstance(spelled, str) else spelled
    if "class_path" not in spelled:
        spelled = {"class_path": FUSIONS["mutualformer"], "init_args": spelled}
    short = by_short_name(spelled).get("name")
    path = FUSIONS[short] if short in FUSIONS else str(spelled["class_path"])
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module) if short else sys.modules.get(module), name, None)
    if not isinstance(found, type) or "Fusion" not in [base.__name__ for base in found.__mro__]:
        raise UserError(
            f"fusion is {path:.80}, expected one of {', '.join(FUSIONS)}, or a subclass of "
            "mutualformer.fusions.Fusion that is imported already: import its module first"
        )
    return partial(found, **spelled.get("init_args", {}))
