"""What is known of the scores of runs before there is one: those of the modules they train."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path

from lightning_modules.runs.score import Score
from lightning_modules.runs.settings import DEFAULT_MODULE
from lightning_modules.runs.shipped import find_shipped
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.tables.planned_rows import PlannedRow
from mutualformer.errors import UserError


def other_modules(rows: Iterable[PlannedRow]) -> list[str]:
    """Return the class paths of the modules that the runs of a table train, but for saliency's.

    Those scores are all known by name.
    """
    read = cache(_module_of_file)  # many runs share a few
    found = {_module(run.command, read) for row in rows for run in row.runs}
    return sorted(found - {DEFAULT_MODULE, DEFAULT_MODULE.rpartition(".")[2]})


def may_score(class_path: str, name: str) -> bool:
    """Tell whether a module may have a score that its class does not list."""
    package, _, of_class = class_path.rpartition(".")
    if package.split(".")[0] not in ("", "lightning_modules"):
        return True  # the user's
    # One for each class of the data, which nothing but the data names.
    return of_class == "SegmentationModule" and re.fullmatch(r"iou_\w+", name) is not None


def scores_of_class(class_path: str) -> Sequence[Score]:
    """Return the scores that a class lists; none if it cannot be imported here."""
    package, _, name = class_path.rpartition(".")
    try:
        listed = getattr(import_module(package or "lightning_modules"), name).scores
    except Exception:  # the user's own code, which need not be here for a table
        return ()
    return [x for x in listed if isinstance(x, Score)] if isinstance(listed, list | tuple) else ()


def _module(command: str, read: Callable[[str], str | None]) -> str:
    """Return the class that a command trains, by its options, else by its configurations."""
    module = DEFAULT_MODULE
    for name, value in _options(command):
        if name == "config":
            module = read(value) or module
    typed = [value for name, value in _options(command) if name in ("model", "model.class_path")]
    return typed[-1] if typed else module


def _options(command: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(command)
    except ValueError:  # a listed row has any text
        return
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("--"):
            name, is_joined, value = word[2:].partition("=")
            yield name, value if is_joined else following


def _module_of_file(path: str) -> str | None:
    try:
        model = read_yaml_mapping(find_shipped(Path(path)), "settings").get("model")
    except UserError:
        return None
    found = model.get("class_path") if isinstance(model, dict) else model
    return found if isinstance(found, str) else None
