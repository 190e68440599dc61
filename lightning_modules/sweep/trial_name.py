"""The folder name of a trial, from its parameters."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lightning_modules.runs.yaml_text import load_yaml

# Names say nothing by their last part alone.
_GENERIC = {"name", "class_path"}
_MAX_LENGTH = 180  # bytes; file systems allow 255
_SCIENTIFIC = re.compile(r"(?<==)-?[0-9]+[eE]-?[0-9]+(?=,|$)")


def short_names(parameters: Iterable[str]) -> dict[str, str]:
    """Shorten dotted parameters to their last part, or to more where that tells too little.

    >>> short_names(["model.network.fusion.epsilon", "model.network.fusion.name"])
    {'model.network.fusion.epsilon': 'epsilon', 'model.network.fusion.name': 'fusion.name'}
    """
    parts = {parameter: parameter.split(".") for parameter in parameters}
    lengths = {name: 2 if split[-1] in _GENERIC else 1 for name, split in parts.items()}
    while True:
        names = {name: ".".join(split[-lengths[name] :]) for name, split in parts.items()}
        ambiguous = [
            name
            for name, short in names.items()
            if list(names.values()).count(short) > 1 and lengths[name] < len(parts[name])
        ]
        if not ambiguous:
            return names
        for name in ambiguous:
            lengths[name] += 1


def value_text(value: object) -> str:
    """Write a value the same way whether it comes from a file or from a command line.

    >>> value_text(0.0), value_text(0), value_text([8, 16.0]), value_text("inf")
    ('0', '0', '[8,16]', 'inf')
    """
    if isinstance(value, list):
        items = (x if isinstance(x, int | float | list) else repr(x) for x in value)
        return f"[{','.join(map(value_text, items))}]"
    if isinstance(value, float) and value == (short := float(f"{value:g}")):
        return f"{short:g}"
    return str(value)


def read_value(text: str) -> Any:
    """Read a value as Weights & Biases' agent writes it for a command.

    >>> read_value("0.30"), read_value("[8, 16]"), read_value("average")
    (0.3, [8, 16], 'average')
    """
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        return text


def trial_name(parameters: Mapping[str, object]) -> str:
    """Name a trial by its parameters, in a form that is safe as a folder name.

    Two different sets of parameters never share a name. Neither the order of the parameters nor
    the spelling of a number (0 or 0.0) matters: a sweep server may change both.

    >>> trial_name({"seed_everything": 1, "model.network.fusion.epsilon": 0.30})
    'epsilon=0.3,seed_everything=1'
    """
    names = short_names(parameters)
    exact, safe = [], []
    for parameter in sorted(parameters):
        value = parameters[parameter]
        text = value_text(value)
        # Text could otherwise pose as a list, or as a parameter of its own.
        allowed = r"\w.+," + (r"\[\]" if isinstance(value, list) else "")
        if isinstance(value, str):
            allowed = r"\w.+"
        exact.append(f"{names[parameter]}={text}")
        safe.append(f"{names[parameter]}={re.sub(rf'[^{allowed}-]', '_', text, flags=re.ASCII)}")
    name = ",".join(safe)
    if safe == exact and len(name) <= _MAX_LENGTH:
        return name
    digest = hashlib.sha256("\0".join(exact).encode()).hexdigest()[:8]
    return f"{name[: _MAX_LENGTH - 9]}-{digest}"


def find_trial_folder(sweep_folder: Path, parameters: Mapping[str, object]) -> Path:
    """Return where a trial runs: the folder of the sweep, then `trial_name`.

    Earlier versions took 1e-4 for text and named a folder `lr=1e-4`, not `lr=0.0001`; where there
    is one, it is that of the trial.
    """
    name = trial_name(parameters)
    folder = sweep_folder / name
    if any(isinstance(value, float) for value in parameters.values()) and not folder.exists():
        for earlier in sweep_folder.glob("*=*[0-9][eE]*[0-9]*"):
            if _SCIENTIFIC.sub(lambda match: value_text(float(match[0])), earlier.name) == name:
                return earlier
    return folder
