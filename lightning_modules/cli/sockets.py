"""Where classes of the user's can be plugged in, checked before the parser sees the settings.

The parser tries every type that a setting may have and reports them all in one text; here the class
path, what was expected in its place and the option in question are told in the user's own names.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lightning_modules.base_module import BaseModule
from lightning_modules.optimization.schedule import check_scheduler_class, filled_in
from lightning_modules.runs.settings import DEFAULT_MODULE
from mutualformer.errors import UserError
from mutualformer.fusions import FUSIONS, Fusion
from mutualformer.fusions.spelling import by_short_name

OUR_NETWORK = "mutualformer.MutualFormerNetwork"


class Socket(NamedTuple):
    """A setting that is a class.

    Attributes:
        name: of the setting, dotted.
        base: class that it must derive from.
        expected: what to say of that.
        default: class path where none is given; None if one must be.
        positionals: how many arguments the class is given by whoever builds it.
        home: module whose classes need no class path; the parser knows them by their names, too.
    """

    name: str
    base: type
    expected: str
    default: str | None = None
    positionals: int = 0
    home: str = ""


SOCKETS = (
    Socket(
        "model",
        BaseModule,
        "a subclass of lightning_modules.base_module.BaseModule",
        DEFAULT_MODULE,
    ),
    Socket(
        "model.network",
        nn.Module,
        "a torch.nn.Module that maps (rgb, depth) to logits",
        OUR_NETWORK,
    ),
    Socket(
        "model.network.fusion",
        Fusion,
        f"one of {', '.join(FUSIONS)}, or a subclass of mutualformer.fusions.Fusion",
        FUSIONS["mutualformer"],
        positionals=1,
    ),
    Socket(
        "model.optimizer",
        Optimizer,
        "a torch.optim.Optimizer",
        "torch.optim.AdamW",
        positionals=1,
        home="torch.optim",
    ),
    Socket(
        "model.scheduler",
        LRScheduler,
        "a torch.optim.lr_scheduler.LRScheduler",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        positionals=1,
        home="torch.optim.lr_scheduler",
    ),
    Socket("data", LightningDataModule, "a lightning.pytorch.LightningDataModule"),
)


def check_classes(configurations: Iterable[Any]) -> None:
    """Follow the classes through configurations that lie over each other.

    Args:
        configurations: in the order that they count in, spelled by class path.

    Raises:
        UserError: a class cannot be imported or is none of its kind, lacks an argument or has one
            too many; says which.
    """
    layers = [content for content in configurations if isinstance(content, Mapping)]
    for socket in SOCKETS:
        if socket.base is Fusion and not is_ours(layers):
            continue  # another network may have whatever it likes there
        _check(socket, [spec for layer in layers for spec in _specs(layer, socket.name)])


def is_ours(layers: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether the network is one of ours, which have a fusion."""
    specs = [spec for layer in layers for spec in _specs(layer, "model.network")]
    named = [str(spec["class_path"]) for spec in specs if "class_path" in spec]
    return not named or named[-1].endswith((".MutualFormerNetwork", ".TokenNetwork"))


def _specs(content: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield what a configuration says of a setting that is a class, as class path and options."""
    first, _, rest = name.partition(".")
    for holder in (content, content.get("init_args")):
        value = holder.get(first) if isinstance(holder, Mapping) else None
        value = {"class_path": value} if isinstance(value, str) else value
        if isinstance(value, Mapping):
            if rest:
                yield from _specs(value, rest)
            else:
                yield value


def _check(socket: Socket, specs: list[Mapping[str, Any]]) -> None:
    path, given = socket.default, set[str]()
    for spec in specs:
        if isinstance(spec.get("class_path"), str):
            path = spec["class_path"]
            given &= set(_options(socket, path))  # the parser drops the others
        is_spelled = "class_path" in spec or "init_args" in spec
        options = (spec.get("init_args") or {}) if is_spelled else spec
        if path is None or not isinstance(options, Mapping):  # of which the parser tells
            return
        known = _options(socket, path)
        if others := [str(name) for name in options if name not in known]:
            raise UserError(
                f"{socket.name}: {_short(path)} has no option {', '.join(others)}, expected "
                f"{'some of ' + ', '.join(known) if known else 'none'}: correct its name, "
                "choose another class, or give under dict_kwargs what its signature does not name"
            )
        given |= set(options)
    if path is None:
        return
    given |= {other.name.removeprefix(f"{socket.name}.") for other in SOCKETS if other.default}
    needed = [name for name, has_default in _options(socket, path).items() if not has_default]
    if missing := [name for name in needed if name not in given]:
        raise UserError(
            f"{socket.name}: {_short(path)} lacks {', '.join(missing)}, expected a value: give "
            f"--{socket.name}.{missing[0]}"
        )


def _options(socket: Socket, path: str) -> dict[str, bool]:
    """Return the options of a class, and whether they have a default."""
    module, _, name = path.rpartition(".")
    advice = f"expected {socket.expected}: check its spelling"
    module = module or socket.home
    if not module:
        raise UserError(f"{socket.name} is {path}, {advice}")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # a module of the user's may raise anything
        raise UserError(
            f"{socket.name} is {path}, which cannot be imported ({type(error).__name__}: {error}), "
            f"{advice}, or add its folder to PYTHONPATH"
        ) from error
    if not isinstance(found, type) or not issubclass(found, socket.base):
        raise UserError(f"{socket.name} is {path}, {advice}, or derive your class from it")
    filled = set[str]()
    if issubclass(found, LRScheduler):
        check_scheduler_class(found)
        filled = set(filled_in(found))
    defaults = {
        name: name in filled or parameter.default is not parameter.empty
        for name, parameter in inspect.signature(found).parameters.items()
    }
    # The parser also follows **options to where they go.
    parser = ArgumentParser()
    names = parser.add_class_arguments(found, skip={socket.positionals}, fail_untyped=False)
    return {name: defaults.get(name, True) for name in names}


def _short(path: str) -> str:
    return by_short_name({"class_path": path}).get("name", path)
