"""Whether the code that made a result has changed since, in a way that can change the result."""

import ast
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
    "datamodules/paired_modality_data_module.py",
    "datamodules/rgbd_saliency_dataset.py",
    "datamodules/synthetic_scenes.py",
    "datamodules/token_probes.py",
    "datamodules/training_order.py",
    "lightning_modules/base_module.py",
    "lightning_modules/optimization",
    "lightning_modules/metrics",
)


def changed_since(run: Run) -> list[str]:
    """Return the files that a run's numbers depend on and that differ from its commit.

    Compared are the files of the classes that its configuration names, and those that every
    training reads, as Python reads them: comments, docstrings and layout do not count. Nothing is
    known, and none returned, outside a repository and of a commit that it does not have.
    """
    commit = (run.results.git or {}).get("commit")
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40}", commit):
        return []
    paths = [path for path in _changed_paths(commit) if path.startswith((*_ALWAYS, *_files(run)))]
    return [path for path in paths if _differs(commit, path)]


def _files(run: Run) -> Iterable[str]:
    """Return the files of this repository that hold the classes of a configuration."""
    found = set()
    for class_path in _class_paths(run.results.config):
        package, _, of_class = class_path.rpartition(".")
        if package.split(".")[0] not in ("mutualformer", "lightning_modules", "datamodules"):
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


@cache
def _module_files(package: str) -> tuple[str, ...]:
    try:
        spec = find_spec(package)
    except ImportError:
        return ()
    if spec is None or spec.origin is None:
        return ()
    origin = Path(spec.origin).resolve()
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
