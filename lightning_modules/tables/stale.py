"""Whether the code that made a result has changed since, in a way that can change the result."""

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning_modules.runs.git import git_output
from lightning_modules.tables.runs import Run

_REPOSITORY = Path(__file__).resolve().parents[2]
# What trainings are made of, beside the classes that their configurations name: rather too much
# than too little, as which of it a single run reads is not looked into.
_ALWAYS = (
    "mutualformer/ops",
    "mutualformer/layers",
    "mutualformer/network",
    "mutualformer/losses.py",
    "mutualformer/fusions/base.py",
    "datamodules/augmentation",
    "datamodules/reading",
    "datamodules/batch.py",
    "datamodules/folder_data_module.py",
    "datamodules/paired_modality_data_module.py",
    "datamodules/label_map.py",
    "datamodules/rgbd_saliency_dataset.py",
    "datamodules/rgbx_segmentation_dataset.py",
    "datamodules/synthetic_class_scenes.py",
    "datamodules/synthetic_scenes.py",
    "datamodules/token_probes.py",
    "datamodules/training_order.py",
    "lightning_modules/base_module.py",
    "lightning_modules/evaluation/view_averaging.py",
    "lightning_modules/optimization",
    "lightning_modules/metrics",
)
# Whose code is a package of some version.
_INSTALLED = {"site-packages", "dist-packages"}
_OURS = ("mutualformer", "lightning_modules", "datamodules")


def changed_since(run: Run) -> list[str]:
    """Return the files that a run's numbers depend on and that differ from its commit.

    Compared are the files of the classes that its configuration names, and those that every
    training reads, as Python reads them: comments, docstrings and layout do not count. Nothing is
    known, and none returned, outside a repository and of a commit that it does not have. Of results
    that were confirmed since, what counts is the commit that confirmed them.
    """
    commit = known_commit(run)
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        return []
    paths = [
        path
        for path in _changed_paths(commit)
        if path.startswith((*_ALWAYS, *_files(run.results.config)))
    ]
    return [path for path in paths if _differs(commit, path)]


def known_commit(run: Run) -> str:
    """Return the latest commit whose code is known to give these results."""
    return str((run.results.confirmed or run.results.git or {}).get("commit"))


def code_digest(config: Mapping[str, Any]) -> str:
    """Return what changes with the code that a test of a configuration depends on.

    It is of the files that `changed_since` compares, read in the same way, with or without git; of
    the catalogue of data sets; and of what lies beside a class of the user's.

    Args:
        config: resolved.
    """
    below = [_REPOSITORY / path for path in (*_ALWAYS, *_files(config))]
    ours = {file for path in below for file in (path.rglob("*.py") if path.is_dir() else [path])}
    others = {*(_REPOSITORY / "datamodules").glob("*.yaml"), *_files_of_users(config)}
    lines = [
        f"{path.relative_to(_REPOSITORY) if path in ours else path.name} {_digest(path)}\n"
        for path in (*sorted(ours), *sorted(others - ours))
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@cache  # what a process has loaded stays what it was
def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".py" and _REPOSITORY in path.parents:
        content = _meaning(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _files_of_users(config: Mapping[str, Any]) -> Iterable[Path]:
    """Return the Python files beside classes that are neither ours nor of an installed package."""
    for class_path in _class_paths(config):
        package, origin = class_path, None
        while "." in package and origin is None:  # what is named may be a method of a class
            package = package.rpartition(".")[0]
            origin = _origin(package)
        is_ours = package.split(".")[0] in _OURS
        if not is_ours and origin is not None and not _INSTALLED & {*origin.parts}:
            yield from origin.parent.glob("*.py")


def _files(config: Any) -> Iterable[str]:
    """Return the files of this repository that hold the classes of a configuration."""
    found = set()
    for class_path in _class_paths(config):
        package, _, of_class = class_path.rpartition(".")
        if package.split(".")[0] not in _OURS:
            continue
        found |= {path for path in _module_files(package) if _defines(path, of_class)}
    return found


def _class_paths(config: Any) -> Iterable[str]:
    if isinstance(config, list):
        config = dict(enumerate(config))
    if isinstance(config, Mapping):
        for name, value in config.items():
            if name == "class_path" and isinstance(value, str):
                yield value
            yield from _class_paths(value)


def _origin(package: str) -> Path | None:
    """Return the file of a module; None if there is none."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # ValueError: a class without a module
        return None
    origin = Path((spec and spec.origin) or "").resolve()
    return origin if origin.is_file() else None  # what is built in has none


@cache
def _module_files(package: str) -> tuple[str, ...]:
    origin = _origin(package)
    if origin is None:
        return ()
    files = origin.parent.glob("*.py") if origin.name == "__init__.py" else [origin]
    return tuple(
        file.relative_to(_REPOSITORY).as_posix() for file in files if _REPOSITORY in file.parents
    )


@cache
def _defines(path: str, of_class: str) -> bool:
    text = (_REPOSITORY / path).read_text(encoding="utf-8")
    return re.search(rf"^class {re.escape(of_class)}\b", text, re.MULTILINE) is not None


@cache
def _changed_paths(commit: str) -> tuple[str, ...]:
    out = git_output("diff", "--name-only", commit, "--", ":/*.py")
    return tuple(out.decode().splitlines()) if out is not None else ()


@cache
def _differs(commit: str, path: str) -> bool:
    before = git_output("show", f"{commit}:{path}")
    now = _REPOSITORY / path
    if before is None or not now.is_file():
        return True
    return _meaning(before.decode()) != _meaning(now.read_text(encoding="utf-8"))


def _meaning(source: str) -> str:
    """Return a program without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
            node.body = kept  # type: ignore[attr-defined]
    return ast.dump(tree)
