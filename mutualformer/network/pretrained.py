"""Trained networks on disk or on the Hugging Face hub: settings in JSON, weights in safetensors.

Neither can hold code, so that networks of strangers can be loaded. Nothing here knows a network.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import huggingface_hub
from safetensors.torch import load_file, save
from torch import Tensor

from mutualformer.errors import UserError
from mutualformer.network import hub
from mutualformer.typed_path import typed_path

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
_NAMES_SHOWN = 3


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write into that becomes ``path`` if all goes well, and else disappears.

    Raises:
        ValueError: ``path`` exists (an empty folder may), or cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists already: delete it, or choose another folder")
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        temporary.mkdir(parents=True)
        yield temporary
        os.rename(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``."""
    text = json.dumps(config, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")


def write_weights(folder: Path, state_dict: Mapping[str, Tensor]) -> None:
    """Write ``model.safetensors``."""
    # Copied, because safetensors refuses tensors that share memory.
    tensors = {name: value.detach().cpu().clone() for name, value in state_dict.items()}
    # The metadata is what transformers and others expect of a file of torch.
    (folder / WEIGHTS_NAME).write_bytes(save(tensors, metadata={"format": "pt"}))


def find_pretrained(source: str | Path, revision: str | None = None) -> tuple[Path, Path]:
    """Return the paths of configuration and weights, downloaded if ``source`` names a repository.

    A folder, and whatever cannot be ``owner/name``, never reaches for the network.

    Raises:
        ValueError: there is no such folder or repository, it lacks one of the files, or the hub
            cannot be reached.
    """
    folder = typed_path(source)
    names = (CONFIG_NAME, WEIGHTS_NAME)
    if folder.is_dir():
        for name in names:
            if not (folder / name).is_file():
                raise UserError(
                    f"{folder} holds no {name}, expected a folder that mutualformer export wrote"
                )
        return folder / CONFIG_NAME, folder / WEIGHTS_NAME
    if isinstance(source, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        raise UserError(
            f"there is no folder {folder}, expected one that mutualformer export wrote, or owner/"
            "name of a repository on the Hugging Face hub"
        )
    reachable = hub.is_reachable()
    try:
        config, weights = (
            huggingface_hub.hf_hub_download(
                source, name, revision=revision, local_files_only=not reachable
            )
            for name in names
        )
    except Exception as error:  # whatever huggingface_hub and the network underneath raise
        reason = " ".join(str(error).split("\n\n")[0].split()) if reachable else "no answer"
        raise UserError(
            f"there is no folder {source}, and it cannot be had as a repository from "
            f"{hub.endpoint()} ({reason}). Check the name; offline, give the folder of an export, "
            "or a repository that was loaded before"
        ) from error
    return Path(config), Path(weights)


def read_config(path: Path, model: str, version: str) -> dict[str, Any]:
    """Read ``config.json``.

    Args:
        path: the file.
        model: name of the class that it must be of.
        version: of this package; see :func:`check_version`.

    Raises:
        ValueError: it is damaged, of another model, or of a newer version.
    """
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:  # JSON and UTF-8 errors are ValueErrors
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("model") != model:
        found = config.get("model") if isinstance(config, dict) else type(config).__name__
        raise UserError(f"{path} is of {found!r:.80}, expected a configuration of {model}")
    check_version(str(path), config.get("version"), version)
    if not isinstance(config.get("network"), dict):
        raise UserError(f"{path} holds no settings of the network under 'network'")
    return config


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read ``model.safetensors``.

    Raises:
        ValueError: it is cut or foreign.
    """
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises nearly anything for a damaged file
        raise UserError(f"{path} cannot be read: {error}. Copy or download it again") from error


def check_version(source: str, written_by: Any, own: str) -> None:
    """Refuse what a later version wrote, whose meaning is not known here.

    Args:
        source: what was written, for the message.
        written_by: version of the package that wrote it.
        own: version of this package. What differs after the second number does not matter.

    Raises:
        ValueError: a later version wrote it, or ``written_by`` is no version.

    >>> check_version("a.ckpt", "0.1.9", "0.1.0")
    >>> check_version("a.ckpt", "1.0.0", "0.1.0")
    Traceback (most recent call last):
        ...
    mutualformer.errors.UserError: a.ckpt was written by mutualformer 1.0.0, and this is 0.1.0: install a version of at least 1.0
    """  # noqa: E501
    match = re.match(r"(\d{1,9})\.(\d{1,9})", written_by) if isinstance(written_by, str) else None
    if match is None:
        raise UserError(f"{source} names no version that wrote it, but {written_by!r:.80}")
    numbers = [int(part) for part in match.groups()]
    if numbers > [int(part) for part in own.split(".")[:2]]:
        raise UserError(
            f"{source} was written by mutualformer {written_by}, and this is {own}: install a "
            f"version of at least {match.group()}"
        )


def why_unreadable(error: Exception) -> str:
    """Return in one line why ``torch.load`` refused a file, without its advice to trust it."""
    if isinstance(error, UnpicklingError):
        return "it is damaged, or holds objects that could run code and are never loaded"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def describe_mismatch(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """Say how parameters differ from those of a network; None if names and shapes agree.

    >>> import torch
    >>> one, two = torch.zeros(1), torch.zeros(2)
    >>> describe_mismatch({"a": one, "b": one}, {"b": two, "c": two})
    '1 is missing (c), 1 is unknown (a), 1 has another shape (b is (1,) there and (2,) here)'
    """
    other_shape = [
        f"{name} is {tuple(stored[name].shape)} there and {tuple(value.shape)} here"
        for name, value in expected.items()
        if name in stored and stored[name].shape != value.shape
    ]
    kinds = (
        ([name for name in expected if name not in stored], "is missing", "are missing"),
        ([name for name in stored if name not in expected], "is unknown", "are unknown"),
        (other_shape, "has another shape", "have another shape"),
    )
    parts = []
    for found, one, several in kinds:
        if found:
            shown = [*found[:_NAMES_SHOWN], *(["…"] if len(found) > _NAMES_SHOWN else [])]
            parts.append(f"{len(found)} {one if len(found) == 1 else several} ({', '.join(shown)})")
    return ", ".join(parts) or None
