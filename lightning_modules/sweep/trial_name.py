"""The folder name of a trial, from its parameters."""

import hashlib
import re
from collections.abc import Iterable, Mapping

# Names say nothing by their last part alone.
_GENERIC = {"name", "class_path"}
_MAX_LENGTH = 180  # bytes; file systems allow 255


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


def trial_name(parameters: Mapping[str, object]) -> str:
    """Name a trial by its parameters, in a form that is safe as a folder name.

    Two different sets of parameters never share a name. Neither the order of the parameters nor
    the spelling of a number (0 or 0.0) matters: a sweep server may change both.

    >>> trial_name({"seed_everything": 1, "model.network.fusion.epsilon": 0.30})
    'epsilon=0.3,seed_everything=1'
    """
    names = short_names(parameters)
    exact = ",".join(f"{names[name]}={_text(parameters[name])}" for name in sorted(parameters))
    safe = re.sub(r"[^\w.+,=\[\]-]", "_", exact.replace(", ", ","), flags=re.ASCII)
    if safe == exact.replace(", ", ",") and len(safe) <= _MAX_LENGTH:
        return safe
    digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
    return f"{safe[: _MAX_LENGTH - 9]}-{digest}"


def _text(value: object) -> str:
    if isinstance(value, float) and value == (short := float(f"{value:g}")):
        return f"{short:g}"
    return str(value)
