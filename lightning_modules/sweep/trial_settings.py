"""The settings a trial was asked to run with, so that two experiments never share a folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datamodules.files import write_atomically
from lightning_modules.runs.run_folder import RunFolder
from lightning_modules.runs.settings import flatten, settings_with_effect
from lightning_modules.runs.yaml_text import read_yaml_mapping
from lightning_modules.sweep.trial_name import read_value, value_text
from mutualformer.errors import UserError


def read_settings(configs: Sequence[Path], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Lay configurations and parameters over each other.

    This is what was typed, by dotted name, without defaults: enough to tell two experiments apart.

    Raises:
        UserError: a configuration is missing or is no YAML mapping.
    """
    settings: dict[str, Any] = {}
    for path in configs:
        settings.update(flatten(read_yaml_mapping(path, "settings", "--config")))
    settings.update(parameters)
    return {name: value_text(value) for name, value in settings.items()}


def check_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Refuse a folder in which the same trial was run with other settings.

    Raises:
        UserError: says which setting differs.
    """
    path = RunFolder(folder).trial_settings
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}; delete {folder}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings of a trial: delete {folder}")
    there, now = settings_with_effect(content), settings_with_effect(settings)
    for name in sorted(there.keys() | now.keys()):
        # Earlier versions took 1e-4 for text.
        if value_text(read_value(str(there.get(name)))) != str(now.get(name)):
            raise UserError(
                f"{folder} holds a trial with {name} = {there.get(name, '(not given)')}, now it is "
                f"{now.get(name, '(not given)')}: choose another --folder, or delete it"
            )


def write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Record what a trial is run with."""
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    write_atomically(RunFolder(folder).trial_settings, text.encode())
