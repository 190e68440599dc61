"""Read a sweep file in Weights & Biases' format and enumerate its trials."""

import itertools
import math
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_modules.runs.settings import one_spelling
from lightning_modules.runs.shipped import find_shipped
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.sweep.trial_name import (
    find_trial_folder,
    read_value,
    trial_name,
    value_text,
)
from mutualformer.errors import UserError
from mutualformer.typed_path import typed_path

_EXPECTED_COMMAND = (
    "[mutualformer, trial, --folder, FOLDER, --config, FILE, ${args}], with one --config or more"
)
# A sweep of more trials is rather a mistake than a plan.
_MOST_TRIALS = 10_000
# Every trial settles these by itself.
_RESERVED = ("config", "ckpt_path", "test_after_fit", "trainer.default_root_dir")


@dataclass(frozen=True)
class Trial:
    """One training with its test.

    Attributes:
        parameters: dotted name to value, in the order of the file.
        folder: where it runs: the folder of the sweep, then the name made of the parameters.
        configs: experiment and overlays, in this order.
    """

    parameters: dict[str, Any]
    folder: Path
    configs: tuple[Path, ...]

    @property
    def arguments(self) -> list[str]:
        """The parameters as Weights & Biases' agent writes them: `--name=value`."""
        texts = {name: "null" if x is None else str(x) for name, x in self.parameters.items()}
        return [f"--{name}={text}" for name, text in texts.items()]

    @property
    def words(self) -> list[str]:
        """The command that runs this trial."""
        words = ["mutualformer", "trial", "--folder", str(self.folder.parent)]
        for config in self.configs:
            words += ["--config", str(config)]
        return [*words, *self.arguments]

    @property
    def command(self) -> str:
        """The command as a line for a shell."""
        return shlex.join(self.words)


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and checked.

    Attributes:
        path: the file.
        description: what the sweep is for; empty if the file does not say.
        axes: dotted parameter to its values.
        folder: holds one folder per trial.
        configs: experiment and overlays.
    """

    path: Path
    description: str
    axes: dict[str, list[Any]]
    folder: Path
    configs: tuple[Path, ...]

    @property
    def trials(self) -> list[Trial]:
        """All combinations; the last axis varies fastest."""
        return [
            Trial(parameters, find_trial_folder(self.folder, parameters), self.configs)
            for values in itertools.product(*self.axes.values())
            for parameters in [dict(zip(self.axes, values, strict=True))]
        ]


def read_sweep(
    path: Path, *, folder: Path | None = None, configs: Sequence[Path] | None = None
) -> Sweep:
    """Read a sweep file.

    Args:
        path: a YAML file in Weights & Biases' sweep format, method ``grid``.
        folder: replaces the folder that the file names.
        configs: replace the configurations that the file names.

    Raises:
        UserError: the file cannot be read, is no grid, has an empty one, or has a command other
            than ``mutualformer trial``.
    """
    content = read_yaml_mapping(path, "a sweep")
    method = content.get("method")
    if method in ("random", "bayes"):
        raise UserError(
            f"{path}: method {method} draws its trials on the W&B server: run wandb sweep {path}, "
            "then wandb agent on each machine; mutualformer sweep runs method grid"
        )
    if method != "grid":
        raise UserError(f"{path}: method is {method!r}, expected grid (random and bayes need W&B)")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"{path}: parameters is {parameters!r}, expected a non-empty mapping")
    axes = {name: _values(path, name, given) for name, given in parameters.items()}
    num_trials = math.prod(map(len, axes.values()))
    if num_trials > _MOST_TRIALS:
        raise UserError(
            f"{path}: {num_trials} combinations, expected at most {_MOST_TRIALS}: leave some out"
        )
    named_folder, named_configs = _read_command(path, content.get("command"))
    return Sweep(
        path=path,
        description=str(content.get("description") or ""),
        axes=axes,
        folder=folder or named_folder,
        configs=tuple(configs or (_from_anywhere(path, config) for config in named_configs)),
    )


def _from_anywhere(path: Path, config: Path) -> Path:
    """Return where a sweep's configuration is: here, or as seen from a folder above the sweep.

    So that `mutualformer sweep /project/experiments/NAME.yaml` runs from another directory.
    """
    # A name alone would be looked for in folders that have nothing to do with the sweep.
    if config.is_absolute() or config.is_file() or len(config.parts) == 1:
        return config
    folders = path.resolve().parents
    return next((x / config for x in folders if (x / config).is_file()), find_shipped(config))


def _values(path: Path, name: Any, given: Any) -> list[Any]:
    if not isinstance(name, str) or not re.fullmatch(r"\w+(\.\w+)*", name, flags=re.ASCII):
        raise UserError(f"{path}: parameters holds {name!r}, expected a dotted name")
    if name in _RESERVED:
        raise UserError(f"{path}: {name} cannot be swept: every trial has its own")
    if not isinstance(given, dict) or not ({"value", "values"} & given.keys()):
        raise UserError(
            f"{path}: parameter {name} is {given!r}, expected values: [...] or value: ...; write "
            "nested parameters with dots (model.network.fusion.epsilon)"
        )
    values = given["values"] if "values" in given else [given["value"]]
    if not isinstance(values, list) or not values:
        raise UserError(f"{path}: values of {name} is {values!r}, expected a non-empty list")
    values = [one_spelling(name, value) for value in values]
    for value in values:
        if value is None or isinstance(value, dict):
            raise UserError(
                f"{path}: {name} has the value {value!r}, which W&B cannot hand to a command; "
                "expected numbers, text or lists"
            )
    texts = [value_text(value) for value in values]
    if strange := [text for text in texts if not text.isprintable()]:
        raise UserError(f"{path}: {name} has the value {strange[0]!r}, expected printable text")
    for value in values:
        read_back = read_value(str(value))
        # A trial that another starts with these words would run in another folder.
        if trial_name({name: read_back}) != trial_name({name: value}):
            raise UserError(
                f"{path}: {name} has the value {value!r}, which a command reads as {read_back!r}: "
                "write it that way"
            )
    repeated = [text for index, text in enumerate(texts) if text in texts[:index]]
    if repeated:
        raise UserError(f"{path}: {name} has the value {repeated[0]} twice")
    return values


def _read_command(path: Path, command: Any) -> tuple[Path, list[Path]]:
    """Return the folder and the configurations that the command names."""
    expected = f"expected {_EXPECTED_COMMAND}"
    if not isinstance(command, list) or not all(
        isinstance(word, str) and word.isprintable() for word in command
    ):
        raise UserError(f"{path}: command is {command!r}, {expected}")
    words = [word for word in command if word != "${env}"]
    if words[:2] != ["mutualformer", "trial"] or words[-1] != "${args}":
        raise UserError(f"{path}: command is {' '.join(command)}, {expected}")
    folder: Path | None = None
    configs: list[Path] = []
    for option, value in _pairs(path, words[2:-1], expected):
        if option == "--config":
            configs.append(typed_path(value, f"{path}: --config of command"))
        elif option == "--folder":
            folder = typed_path(value, f"{path}: --folder of command")
        else:
            raise UserError(
                f"{path}: command has the option {option}, {expected}; a setting that all trials "
                "share is a parameter with one value, or belongs in a --config"
            )
    if folder is None or not configs:
        raise UserError(f"{path}: command is {' '.join(command)}, {expected}")
    return folder, configs


def _pairs(path: Path, words: list[str], expected: str) -> Iterator[tuple[str, str]]:
    if len(words) % 2:
        raise UserError(f"{path}: command ends in {words[-1]} without a value, {expected}")
    yield from zip(words[::2], words[1::2], strict=True)
