"""Say what a result came from: the code, the packages, the machine."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from lightning_modules.runs.git import git_output

PACKAGES = ("mutualformer", "torch", "lightning")


def describe_environment(device: torch.device, num_processes: int) -> dict[str, Any]:
    """Describe code, packages and machine under the keys of ``results.json``.

    ``git`` describes the working tree that this package lies in, and is null where there is none;
    so is the version of a package that is not installed.
    """
    return {
        "git": git_state(),
        "packages": {package: package_version(package) for package in PACKAGES},
        "python": platform.python_version(),
        "device": device_name(device),
        "world_size": num_processes,
    }


def git_state() -> dict[str, Any] | None:
    """Return the commit, and whether tracked files differ from it; None outside a repository."""
    commit = git_output("rev-parse", "HEAD")
    changes = git_output("status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None
    return {"commit": commit.decode().strip(), "dirty": bool(changes.strip())}


def git_changes() -> bytes | None:
    """Return how tracked files differ from the commit, for `git apply`; None if they do not."""
    return git_output("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff") or None


def package_version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def device_name(device: torch.device) -> str:
    """Name a device by its type and model.

    >>> device_name(torch.device("cpu")).startswith("cpu (")
    True
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({name})"
